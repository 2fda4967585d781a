import os
import shlex
import subprocess
import sys

import pytest

from orchestrator.cli import console
from orchestrator.cli.commands import COMMANDS, arguments
from orchestrator.core import command_line
from tests.orchestrator.command import ROOT

HEAVY = ("torch", "ray", "mlflow", "optuna", "numpy", "pydantic", "rich", "yaml")


@pytest.fixture
def started(monkeypatch, tmp_path):
    """Runs the console script in a folder; what it would run, the arguments and the path."""

    def run(*words):
        seen = {}
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(command_line, "_script", None)
        monkeypatch.setattr(sys, "argv", ["/somewhere/bin/augsweep", *words])
        monkeypatch.setattr(sys, "path", ["/somewhere/bin", *sys.path])
        monkeypatch.setattr(
            console.runpy, "run_module", lambda name, **_: seen.update(name=name, argv=sys.argv[1:], path=sys.path[:])
        )
        console.main()
        return seen

    return run


def subprocess_of(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_runs_as_its_module_with_the_working_folder_last_on_the_path(name, started, tmp_path):
    seen = started(name, "x")
    assert seen["name"] == f"orchestrator.{name}"
    assert seen["argv"] == ["x"]
    assert seen["path"][-1] == str(tmp_path)
    assert command_line.words(seen["name"]) == ["/somewhere/bin/augsweep", name]


def test_hints_name_the_script_as_a_shell_finds_it(monkeypatch, tmp_path):
    script = tmp_path / "augsweep"
    script.touch(mode=0o755)
    monkeypatch.setattr(command_line, "_script", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    command_line.set_script(str(script))
    assert command_line.words("orchestrator.sweep") == ["augsweep", "sweep"]


def test_started_as_a_module_a_command_is_named_by_it(monkeypatch):
    monkeypatch.setattr(command_line, "_script", None)
    assert command_line.words("orchestrator.sweep", ".venv/bin/python") == [
        ".venv/bin/python",
        "-m",
        "orchestrator.sweep",
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "COMMAND"),
        (("swep",), "'swep'"),
        (("sweep", "a.yaml", "--fre"), "--fre"),
        (("completion", "csh"), "'csh'"),
    ],
    ids=" ".join,
)
def test_a_mistake_ends_with_code_2_and_one_line(words, said, started, capsys):
    with pytest.raises(SystemExit) as ended:
        started(*words)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err.splitlines()[-1]


def test_help_lists_the_commands_and_imports_nothing_heavy():
    code = f"""
import sys
from orchestrator.cli.console import main
sys.argv = ["augsweep", "--help"]
try:
    main()
finally:
    print("imported:", *(name for name in {HEAVY!r} if name in sys.modules))
"""
    done = subprocess_of(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "imported:"
    assert all(f"\n    {name} " in done.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_ends_with_examples_that_its_parser_accepts(name):
    described = arguments(name)
    shown = command_line.parser(described).format_help().partition("examples:\n")[2].strip().splitlines()
    assert len(shown) >= 3
    for example in shown:
        words = shlex.split(example, comments=True)
        assert words[:3] == ["python", "-m", f"orchestrator.{name}"]
        console.parser().parse_args([name, *words[3:]])


@pytest.mark.parametrize("shell", console.SHELLS)
def test_completion_prints_lines_for_each_shell(shell, started, capsys):
    started("completion", shell)
    assert "augsweep" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("augsweep s", {"sweep "}),
        ("augsweep sweep ms", {"msr", "msr_byol", "msr_cifar10"}),
        ("augsweep sweep --dr", {"--dry-run "}),
        ("augsweep evaluate x --suite robu", {"robustness "}),
    ],
)
def test_tab_completes_commands_options_and_names(line, offered, tmp_path):
    answer = tmp_path / "answer"
    done = subprocess_of(
        "import sys; sys.argv = ['augsweep']; from orchestrator.cli.console import main; main()",
        _ARGCOMPLETE="1",
        _ARGCOMPLETE_SHELL="bash",
        _ARGCOMPLETE_STDOUT_FILENAME=str(answer),
        COMP_LINE=line,
        COMP_POINT=str(len(line)),
    )
    assert done.returncode == 0, done.stderr
    assert set(answer.read_text().split("\013")) == offered


@pytest.mark.parametrize(
    ("file", "expected"), [("methods.py", "AugSweep's package methods"), ("yaml.py", "the library yaml")]
)
def test_a_file_of_the_users_that_workers_would_import_for_ours_is_refused(file, expected, started, tmp_path, capsys):
    (tmp_path / file).touch()
    with pytest.raises(SystemExit) as ended:
        started("sweep", "x")
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path / file} hides {expected}; ")
