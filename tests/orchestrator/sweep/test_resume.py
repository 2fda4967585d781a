from pathlib import Path

import pytest

from orchestrator.core import provenance
from orchestrator.core.errors import UserError
from orchestrator.records.folder import SweepFolder
from orchestrator.study.study_file import Study, load_study
from orchestrator.sweep import resume
from tests.orchestrator.studies import with_changes, write_study

SEARCH = {"addons.msr.base_weight": {"uniform": [0.0, 0.6]}, "optimizer.lr": {"uniform": [0.1, 0.2]}}


def study(folder: Path, *sets: str, search: dict | None = None) -> Study:
    return load_study(write_study(folder, with_changes(search=search or SEARCH)), sets)


@pytest.fixture
def begun(tmp_path: Path) -> SweepFolder:
    folder = SweepFolder(tmp_path / "sweeps" / "study")
    assert resume.enter(folder, study(tmp_path)) == []
    return folder


def test_sweep_goes_on_unchanged_and_with_more_trials_time_and_machine(tmp_path: Path, begun: SweepFolder) -> None:
    more = ("trials=9", "time_limit=5.0", "concurrency=2", "cpus_per_worker=2", "gpus_per_worker=1.0", "keep=3")
    resume.enter(begun, study(tmp_path))
    resume.enter(begun, study(tmp_path, *(f"sweep.{change}" for change in more)))
    assert "time_limit: 5.0" in begun.file.read_text()
    for change in ("{top: 1, seeds: 2}", "{top: 2, seeds: 5}", "null"):
        resume.enter(begun, study(tmp_path, f"sweep.confirm={change}"))


def test_sweep_begun_before_there_was_a_confirmation_goes_on(tmp_path: Path, begun: SweepFolder) -> None:
    old = begun.file.read_text().replace("  confirm: null\n", "")
    assert "confirm" not in old
    begun.file.write_text(old)
    assert resume.enter(begun, study(tmp_path)) == []


def test_sweep_begun_before_a_setting_of_its_run_existed_goes_on(tmp_path: Path, begun: SweepFolder) -> None:
    old = begun.file.read_text().replace(", warmup_epochs: 0.0", "")
    assert "warmup_epochs" not in old
    begun.file.write_text(old)
    assert resume.enter(begun, study(tmp_path)) == []
    begun.file.write_text(old)
    with pytest.raises(UserError, match=r"run\.optimizer\.warmup_epochs: 0\.0 in the folder, 1\.0 now"):
        resume.enter(begun, study(tmp_path, "run.optimizer.warmup_epochs=1.0"))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("run.optimizer.momentum=0.5", "run.optimizer.momentum: 0.9 in the folder, 0.5 now"),
        ("sweep.seed=1", "sweep.seed: 0 in the folder, 1 now"),
        (
            "run.augment.recipes.weak={flip: {}, crop: {}}",
            "run.augment.recipes.weak: the order crop, flip in the folder, flip, crop now",
        ),
    ],
)
def test_other_sweep_is_refused_with_what_differs(
    tmp_path: Path, begun: SweepFolder, change: str, expected: str
) -> None:
    before = begun.file.read_text()
    with pytest.raises(UserError) as caught:
        resume.enter(begun, study(tmp_path, change))
    assert str(caught.value).split("\n")[1:-1] == [f"  {expected}"]
    assert begun.file.read_text() == before


PLACE = "/mnt/shared/projects/photographs/of/many/garments/collected-in-"


@pytest.mark.parametrize(
    ("was", "now", "expected"),
    [
        (f"{PLACE}2024/train", f"{PLACE}2025/train", ['...collected-in-2024/train"', '...collected-in-2025/train"']),
        ("1", 1, ['"1"', "1"]),
    ],
)
def test_values_that_look_alike_are_shown_with_their_difference(was: object, now: object, expected: list[str]) -> None:
    (line,) = resume.differences({"value": was}, {"value": now})
    assert line.partition(": ")[2] == f"{expected[0]} in the folder, {expected[1]} now"
    assert resume.differences({"value": was}, {"value": was}) == []


def test_other_order_of_dimensions_is_another_search(tmp_path: Path, begun: SweepFolder) -> None:
    with pytest.raises(UserError, match=r"search: the order addons\.msr\.base_weight, optimizer\.lr in the folder"):
        resume.enter(begun, study(tmp_path, search=dict(reversed(SEARCH.items()))))


def test_other_commit_is_warned_of_once(tmp_path: Path, begun: SweepFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "commit", lambda: "f" * 40)
    (warning,) = resume.enter(begun, study(tmp_path))
    assert "goes on at ffffffffffff" in warning
    assert resume.enter(begun, study(tmp_path)) == []


@pytest.mark.parametrize(
    ("method", "addons", "refused"),
    [
        ("swav", {"augself": {}}, True),
        ("swav", {}, False),
        ("simsiam", {"augself": {}}, False),
    ],
)
def test_augself_over_swav_of_an_earlier_version_is_not_continued(
    tmp_path, method: str, addons: dict, refused: bool
) -> None:
    changes = {
        "run.method": {"name": method},
        "run.addons": addons,
        "search": {"optimizer.lr": {"uniform": [0.1, 0.2]}},
    }
    wanted = load_study(write_study(tmp_path, with_changes(changes)))
    folder = SweepFolder(tmp_path / "sweeps" / "study")
    resume.enter(folder, wanted)
    assert folder.format() == resume.FORMAT
    assert resume.changed_meaning(folder, wanted) is None
    folder.format_file.unlink()  # as earlier versions left it
    resume.enter(folder, wanted)
    assert folder.format() == 1
    text = resume.changed_meaning(folder, wanted)
    assert ("double the weights to train as before" in text) if refused else text is None
