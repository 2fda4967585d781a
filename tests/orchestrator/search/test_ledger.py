"""The ledger alone, where threads and kills meet it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from orchestrator.config.search_space import Dimension, Range, Space
from orchestrator.config.sweep import SweepConfig
from orchestrator.core.errors import UserError
from orchestrator.records.folder import SweepFolder, TrialFolder
from orchestrator.search.ledger import Ledger
from orchestrator.search.schedulers import none
from orchestrator.search.study import StoredStudy
from orchestrator.search.trial_state import Trial

SPACE = Space((Dimension("x", Range("uniform", 0.0, 1.0)),))
SWEEP = SweepConfig(name="s", trials=2, metric="knn", scheduler=none.Config())


class KilledError(Exception):
    """The process ended here."""


def legal(number: int, values: dict[str, Any]) -> dict[str, Any]:
    return {"run": {"training": {"epochs": 2}}}


def first_is_illegal(number: int, values: dict[str, Any]) -> dict[str, Any]:
    if number == 0:
        raise UserError("no such run")
    return legal(number, values)


def open_ledger(path: Path, resolved: Any = legal) -> Ledger:
    folder = SweepFolder(path)
    folder.path.mkdir(exist_ok=True)
    return Ledger(folder, StoredStudy(folder.journal, SWEEP, space=SPACE, epochs=2), sweep=SWEEP, resolved=resolved)


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sweep that was killed when the settings of trial 0 had been refused and its end was not yet on disk."""

    def die(folder: TrialFolder, result: object) -> None:
        raise KilledError

    with monkeypatch.context() as killed:
        killed.setattr(TrialFolder, "write_result", die)
        with pytest.raises(KilledError):
            open_ledger(tmp_path / "s", first_is_illegal).next()
    return tmp_path / "s"


def test_refused_trial_is_refused_again_after_a_kill(refused: Path) -> None:
    ledger = open_ledger(refused, first_is_illegal)
    assert ledger.next() == 1, "trial 0 has no run that a worker could train"
    result = ledger.folder.trial(0).result()
    assert result is not None
    assert (result["state"], result["reason"]) == ("failed", "no such run")


def test_refused_trial_runs_after_a_kill_where_it_has_become_legal(refused: Path) -> None:
    ledger = open_ledger(refused)
    assert ledger.next() == 0
    assert ledger.trials[0].epochs == 2
    assert "run" in ledger.folder.trial(0).config()


def test_state_may_be_asked_while_a_trial_is_added(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path / "s")

    @dataclass
    class Meeting(Trial):
        """A trial at the sight of which the other thread adds one."""

        others: dict[int, Trial] = field(default_factory=dict)

        @property
        def is_repeat(self) -> bool:
            self.others[len(self.others)] = Trial(len(self.others), {}, 2)
            return False

    ledger.trials[0] = Meeting(0, {}, 2, others=ledger.trials)
    assert not ledger.is_complete
    assert len(ledger.trials) > 1
