"""Every file in `search_spaces` is complete and valid, and its header states the expected result."""

import re
from functools import cache
from pathlib import Path

import pytest
import torch

from augment.pipeline import Pipeline
from augment.views import Bank, Batch
from orchestrator.config import yaml_file
from orchestrator.study import study_file
from orchestrator.study.study_file import Study, load_study
from orchestrator.training import planning
from tests.recorded import record

FOLDER = Path(__file__).parents[2] / "search_spaces"
FILES = sorted(FOLDER.glob("*.yaml"))


def check_header(path: Path) -> None:
    """Raises an AssertionError unless the header has a question, command, time and expected result."""
    header = "".join(re.findall(r"^#.*\n", path.read_text(encoding="utf-8").split("\nsweep:")[0], re.MULTILINE))
    assert re.match(r"# \w.{20,}\n", header), "the first line must state the purpose of the study"
    command = rf"python -m orchestrator\.sweep search_spaces/{path.name}( --set \S+)*"
    assert re.search(rf"^# Command: +{command}$", header, re.MULTILINE)
    assert "not measured yet" not in header
    for key in ("Time", "Expected"):
        assert re.search(rf"^# {key}: +\S.*\d|^# {key}: +\w+ \w+", header, re.MULTILINE), f"{key} must have a value"


@cache
def study(path: Path) -> Study:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study_file, "check_data", lambda run: None)  # it would download published data
        return load_study(path)


def test_all_files_are_found():
    assert len(FILES) >= 14


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_file_is_legal_and_named_after_its_study(path):
    assert study(path).sweep.name == path.stem


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_views_of_file_need_nothing_of_the_host(path):
    run = study(path).run
    with torch.device("meta"):  # the meta device rejects values from the host
        plan = planning.plan(run)
        planes = {name: torch.zeros(4, 3, 32, 32) for name in ("images", "backgrounds")}
        rows, epoch, masks = torch.arange(4), torch.tensor(3), torch.zeros(4, 1, 32, 32)
        stored = [plane.to(torch.uint8) for plane in (planes["images"], masks, planes["images"])]
        batch = Batch(**planes, masks=masks, lenders=torch.zeros_like(rows), bank=Bank(*stored, rows, rows))
    pipeline = Pipeline(plan.views, plan.recipes, mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.2), seed=run.seed)
    pipeline(batch, rows, epoch)  # the first call copies constants to the device
    assert record(lambda: pipeline(batch, rows, epoch)).result.keys() == plan.views.keys()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_file_has_all_sections_and_a_header(path):
    tree = yaml_file.parse(path.read_text())
    assert list(tree) == ["sweep", "run", "search"]
    assert set(tree["run"]) >= {
        "seed",
        "dataset",
        "augment",
        "method",
        "encoder",
        "optimizer",
        "training",
        "evaluation",
    }
    check_header(path)


@pytest.mark.parametrize("missing", ["Command", "Time", "Expected"])
def test_file_without_a_full_header_is_rejected(tmp_path, missing):
    lines = [
        "# A question that takes a line to ask, at least.",
        "# Command:   python -m orchestrator.sweep search_spaces/a.yaml",
    ]
    lines += ["# Time:      5 min on 2 cores", "# Expected:  60 % or more"]
    (tmp_path / "a.yaml").write_text("\n".join(lines) + "\n\nsweep: {}\n")
    check_header(tmp_path / "a.yaml")
    kept = [line for line in lines if missing not in line]
    (tmp_path / "a.yaml").write_text("\n".join(kept) + "\n\nsweep: {}\n")
    with pytest.raises(AssertionError):
        check_header(tmp_path / "a.yaml")
