"""Only so many encoders stay, the best ones, whenever a sweep was cut off."""

from pathlib import Path

import pytest

from orchestrator.config.search_space import Dimension, Range, Space
from orchestrator.config.sweep import SweepConfig
from orchestrator.core.errors import UserError
from orchestrator.records.folder import SweepFolder, TrialFolder
from orchestrator.search.ledger import Ledger
from orchestrator.search.retention import holdings
from orchestrator.search.schedulers import none
from orchestrator.search.study import StoredStudy
from orchestrator.storage.local import LocalPlace
from orchestrator.training import export

SPACE = Space((Dimension("x", Range("uniform", 0, 1)),))


def open_ledger(path: Path, *, keep: int, metric: str | tuple[str, ...] = "a") -> Ledger:
    mode = "max" if isinstance(metric, str) else ("max",) * len(metric)
    sweep = SweepConfig(name="s", trials=9, metric=metric, mode=mode, keep=keep, scheduler=none.Config())
    folder = SweepFolder(path)
    store = StoredStudy(folder.journal, sweep, space=SPACE, epochs=1)
    return Ledger(folder, store, sweep=sweep, resolved=lambda number, values: {"run": {"training": {"epochs": 1}}})


def finish(ledger: Ledger, **values: float) -> None:
    """The next trial from start to end, with an encoder of 100 bytes."""
    number = ledger.next()
    assert number is not None
    folder = ledger.folder.trial(number)
    folder.encoder_weights.write(b"\0" * 100)
    folder.encoder_card.write("{}")
    ledger.report(number, {"epoch": 1, "finished": 1, **values})
    ledger.ended(number)


def kept(ledger: Ledger) -> list[int]:
    return [trial.number for trial in ledger.folder.with_encoder()]


def test_encoders_of_the_best_stay_and_a_worse_one_never_lies_there(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path / "s", keep=2)
    seen = []
    for value in (1.0, 3.0, 2.0, 0.0, 3.0, 9.0):
        finish(ledger, a=value)
        seen.append(kept(ledger))
    assert seen == [[0], [0, 1], [1, 2], [1, 2], [1, 4], [1, 5]]  # of equals the first, 1 before 4
    assert holdings(ledger.folder).endswith("/s, 2 encoders")
    again = open_ledger(tmp_path / "s", keep=1)
    assert kept(again) == [5]


def test_whole_front_comes_before_the_best_by_the_first_metric(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path / "s", keep=3, metric=("a", "b"))
    for a, b in ((5.0, 5.0), (4.0, 4.0), (3.0, 3.0), (1.0, 9.0)):
        finish(ledger, a=a, b=b)
    assert kept(ledger) == [0, 1, 3]


def test_kill_before_the_removal_leaves_it_to_the_next_start_which_spares_the_unfinished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = open_ledger(tmp_path / "s", keep=1)
    finish(ledger, a=1.0)
    with monkeypatch.context() as killed:
        killed.setattr(LocalPlace, "unlink", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            finish(ledger, a=2.0)
    assert ledger.next() == 2
    ledger.folder.trial(2).encoder_weights.write(b"exported, but its end is not recorded yet")
    assert kept(open_ledger(tmp_path / "s", keep=1)) == [1, 2]


def _interrupt(file: LocalPlace, missing_ok: bool = False) -> None:
    if file.name == "encoder.safetensors":
        raise KeyboardInterrupt


def test_trial_that_failed_at_its_very_end_leaves_none(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path / "s", keep=2)
    finish(ledger, a=float("nan"))
    assert ledger.trials[0].state == "failed"
    assert kept(ledger) == []


def test_reading_a_removed_encoder_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ledger = open_ledger(tmp_path / "s", keep=1)
    finish(ledger, a=2.0)
    finish(ledger, a=1.0)
    remedy = r"\(sweep\.keep\); python -m orchestrator\.sweep s/trials/0001/config\.yaml trains it again"
    with pytest.raises(UserError, match=remedy):
        export.read(TrialFolder.parse("s/trials/0001").path)
