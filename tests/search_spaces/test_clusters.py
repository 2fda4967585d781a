"""The examples for clusters fit what reads them, and run the command that a user would run."""

import copy
import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml

from orchestrator.cli import console

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "search_spaces/clusters"
# Options of sbatch and their values, from sbatch(1) of Slurm 22.05; that version's own parser accepts the file too.
SBATCH = {
    "job-name": r"[\w.-]+",
    "nodes": r"\d+(-\d+)?",
    "ntasks-per-node": r"\d+",
    "cpus-per-task": r"\d+",
    "gpus-per-node": r"(\w+:)?\d+",
    "mem": r"\d+[KMGT]?",
    "partition": r"[\w,.-]+",
    "account": r"\w+",
    "time": r"(\d+-)?\d{1,2}(:\d{2}){1,2}",
    "exclusive": None,
    "requeue": None,
    "open-mode": r"append|truncate",
    "output": r"\S+",
    "signal": r"(B:|R:|BR:|RB:)?(\d+|[A-Z]+\d?)(@\d+)?",
}


def schema(name):
    return json.loads((ROOT / "tests/search_spaces" / f"{name}.schema.json").read_text())


def example(name):
    return yaml.safe_load((FOLDER / f"{name}.yaml").read_text())


def misspelt(tree, *path):
    """The tree with one key misspelt."""
    tree = copy.deepcopy(tree)
    *parents, last = path
    inner = tree
    for key in parents:
        inner = inner[key]
    inner[f"{last}s"] = inner.pop(last)
    return tree


@pytest.mark.parametrize(
    ("name", "schema_name", "paths"),
    [
        (
            "kuberay",
            "rayjob",
            [
                ("spec", "backoffLimit"),
                ("spec", "rayClusterSpec", "workerGroupSpecs", 0, "template", "spec", "containers"),
            ],
        ),
        ("skypilot", "skypilot", [("num_nodes",), ("resources", "accelerators")]),
    ],
)
def test_an_example_fits_its_schema_and_with_a_misspelt_key_does_not(name, schema_name, paths):
    validator = jsonschema.Draft7Validator(schema(schema_name))
    tree = example(name)
    validator.validate(tree)
    for path in paths:
        assert not validator.is_valid(misspelt(tree, *path)), path


def sbatch_options(text):
    """The options that sbatch would read: those before the first command."""
    head = re.split(r"^(?!#|$)", text, maxsplit=1, flags=re.MULTILINE)[0]
    lines = (line for line in head.splitlines() if line.startswith("#SBATCH "))
    return {name: value for name, _, value in (line.removeprefix("#SBATCH --").partition("=") for line in lines)}


def test_the_slurm_script_gives_sbatch_options_that_it_knows():
    text = (FOLDER / "slurm.sbatch").read_text()
    assert text.startswith("#!/")
    options = sbatch_options(text)
    assert len(options) == text.count("\n#SBATCH ")
    for name, value in options.items():
        assert name in SBATCH, f"sbatch has no --{name}"
        assert re.fullmatch(SBATCH[name] or "", value), f"--{name}={value}"
    assert {"exclusive", "requeue", "open-mode", "signal"} <= options.keys()


@pytest.fixture
def slurm(tmp_path):
    """Runs the script where commands of Slurm and Ray write down how they were called; exit code and the calls."""
    calls = tmp_path / "calls"
    for name in ("srun", "scontrol", "ray"):
        stub = tmp_path / "bin" / name
        stub.parent.mkdir(exist_ok=True)
        stub.write_text(f'#!/bin/sh\necho "{name} $*" >> {calls}\n[ "$1" != show ] || printf "n1\\nn2\\n"\n{{extra}}\n')
        stub.chmod(0o755)

    def run(extra=""):
        for stub in (tmp_path / "bin").iterdir():
            stub.write_text(stub.read_text().replace("{extra}", extra if stub.name == "srun" else ""))
        nodes = {"SLURM_JOB_ID": "12345", "SLURM_JOB_NODELIST": "n[1-2]", "SLURM_JOB_NUM_NODES": "2"}
        sizes = {"SLURM_CPUS_PER_TASK": "16", "SLURM_GPUS_ON_NODE": "4", "SLURM_SUBMIT_DIR": "/shared"}
        done = subprocess.run(
            ["bash", str(FOLDER / "slurm.sbatch"), "mine.yaml", "--set", "run.method.name=my lab"],
            env={"PATH": f"{tmp_path / 'bin'}:{os.defpath}", "HOME": str(tmp_path), **nodes, **sizes},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        return done.returncode, calls.read_text().splitlines()

    return run


def test_the_slurm_script_starts_ray_with_a_token_on_all_nodes_and_the_sweep_on_it(slurm):
    code, calls = slurm()
    assert code == 0
    assert "ray get-auth-token --generate" in calls
    command = next(call for call in calls if call.startswith("srun "))
    assert "--nodes=2 --ntasks-per-node=1 ray symmetric-run --address n1:22345 --min-nodes 2" in command
    assert "--num-cpus=16 --num-gpus=4 -- augsweep sweep mine.yaml --set run.method.name=my lab" in command
    assert command.endswith("--address n1:22345 --storage /shared/sweeps")


def test_the_slurm_script_requeues_itself_when_its_time_is_nearly_over(slurm):
    _, calls = slurm('kill -USR1 "$PPID"; sleep 0.5')
    assert calls[-1] == "scontrol requeue 12345"


def test_the_slurm_script_ends_with_the_code_of_the_sweep(slurm):
    assert slurm("exit 2")[0] == 2


@pytest.mark.parametrize("name", ["kuberay", "skypilot"])
def test_the_command_of_an_example_is_legal(name):
    tree = example(name)
    text = tree["spec"]["entrypoint"] if name == "kuberay" else tree["run"].replace("\\\n", " ").splitlines()[-1]
    words = shlex.split(text)
    words = words[words.index("augsweep") + 1 :]
    assert console.parser().parse_args(words).storage
