import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import optuna
import pytest
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from orchestrator.config.search_space import Choice, Dimension, Range, Space
from orchestrator.config.sweep import SweepConfig, read_sweep
from orchestrator.search.study import StoredStudy

SPACE = Space(
    (
        Dimension("x", Range("uniform", 0.0, 1.0)),
        Dimension("kind", Choice(("plain", "steps"))),
        Dimension("steps", Range("int", 1, 8), when={"kind": ("steps",)}),
    )
)


def _sweep(sampler: Literal["tpe", "random"] = "tpe", scheduler: Literal["asha", "none"] = "none") -> SweepConfig:
    return read_sweep(
        {
            "name": "s",
            "trials": 20,
            "metric": "score",
            "seed": 5,
            "sampler": {"name": sampler},
            "scheduler": {"name": scheduler},
        }
    )


def test_suggestions_for_several_metrics_do_not_depend_on_the_process_and_learn_from_each(tmp_path: Path) -> None:
    sweep = _sweep().model_copy(update={"metric": ("near", "steps"), "mode": ("max", "min")})

    def objectives(values: dict[str, Any]) -> list[float]:
        return [-abs(values["x"] - 0.3), float(values.get("steps", 0))]

    def search(fresh: Callable[[], StoredStudy]) -> list[dict[str, Any]]:
        seen = []
        for _ in range(28):
            number = fresh().ask()
            seen.append((study := fresh()).values(number))
            study.report(number, 0.5, 4)
            assert not study.should_stop(number)
            study.tell(number, *(("failed",) if number % 8 == 3 else ("finished", objectives(seen[-1]))))
        return seen

    for name in ("one", "many"):
        (tmp_path / name).mkdir()
    uninterrupted = _open(tmp_path / "one", sweep)
    in_one = search(lambda: uninterrupted)
    assert search(lambda: _open(tmp_path / "many", sweep)) == in_one
    late = in_one[14:]
    assert sum(abs(values["x"] - 0.3) for values in late) / len(late) < 0.2, "random: 0.29"
    assert sum(values["kind"] == "plain" for values in late) > 0.5 * len(late), "random: half"


def _open(folder: Path, sweep: SweepConfig | None = None) -> StoredStudy:
    return StoredStudy(folder / "study.journal", sweep or _sweep(), space=SPACE, epochs=12)


def _score(values: dict[str, Any]) -> float:
    return -((values["x"] - 0.3) ** 2) + 0.1 * values.get("steps", 0)


def _search(fresh: Callable[[], StoredStudy], trials: int) -> list[dict[str, Any]]:
    """A sequential search with a failed and a stopped trial that reopens the study before each call."""
    seen = []
    for _ in range(trials):
        number = fresh().ask()
        values = fresh().values(number)
        seen.append(values)
        fresh().report(number, _score(values), 4)
        if number % 5 == 3:
            fresh().tell(number, "failed")
        elif number % 5 == 4:
            fresh().tell(number, "stopped")
        else:
            fresh().tell(number, "finished", _score(values))
    return seen


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_suggestions_do_not_depend_on_which_process_asks(tmp_path: Path, sampler: Literal["tpe", "random"]) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "many").mkdir()
    uninterrupted = _open(tmp_path / "one", _sweep(sampler))
    in_one = _search(lambda: uninterrupted, 18)
    in_many = _search(lambda: _open(tmp_path / "many", _sweep(sampler)), 18)
    assert in_many == in_one
    assert len({values["x"] for values in in_one}) == 18
    assert any("steps" in values for values in in_one)


def test_tpe_learns_where_random_does_not(tmp_path: Path) -> None:
    """Guards the wiring of direction and values: the later suggestions gather at the better end."""
    late = {}
    for sampler in ("tpe", "random"):
        (tmp_path / sampler).mkdir()
        study = _open(tmp_path / sampler, _sweep(sampler))
        late[sampler] = _search(lambda study=study: study, 40)[20:]
    scores = {sampler: sum(map(_score, values)) / len(values) for sampler, values in late.items()}
    assert scores["tpe"] > scores["random"] + 0.05


def test_random_suggestion_depends_only_on_seed_and_number(tmp_path: Path) -> None:
    study = _open(tmp_path, _sweep("random"))
    together = [study.ask() for _ in range(4)]
    values = {number: study.values(number) for number in reversed(together)}
    (tmp_path / "other").mkdir()
    one_by_one = _search(lambda: _open(tmp_path / "other", _sweep("random")), 4)
    assert [values[number] for number in range(4)] == one_by_one


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_suggestion_cut_off_in_the_middle_is_completed_as_it_would_have_been(
    tmp_path: Path, sampler: Literal["tpe", "random"]
) -> None:
    for folder in (tmp_path / "whole", tmp_path / "cut"):
        folder.mkdir()
        study = _open(folder, _sweep(sampler))
        _search(lambda study=study: study, 14)
        study.ask()
    half = Space(SPACE.dimensions[:1])
    StoredStudy(tmp_path / "cut" / "study.journal", _sweep(sampler), space=half, epochs=12).values(14)
    assert _open(tmp_path / "cut", _sweep(sampler)).values(14) == _open(tmp_path / "whole", _sweep(sampler)).values(14)


def test_enqueued_settings_come_first_and_once(tmp_path: Path) -> None:
    known = [{"x": 0.25, "kind": "plain"}, {"x": 0.5, "kind": "steps", "steps": 2}]
    for _ in range(2):
        _open(tmp_path).enqueue(known)
    # Killed between the two entries: the next start adds only the second.
    (tmp_path / "torn").mkdir()
    _open(tmp_path / "torn").enqueue(known[:1])
    _open(tmp_path / "torn").enqueue(known)
    for folder in (tmp_path, tmp_path / "torn"):
        study = _open(folder)
        assert [study.values(study.ask()) for _ in range(2)] == known
        assert study.values(study.ask()) not in known
        assert len(study) == 3


def test_torn_journal_and_a_dead_writers_lock_are_mended(tmp_path: Path) -> None:
    study = _open(tmp_path)
    number = study.ask()
    values = study.values(number)
    journal = tmp_path / "study.journal"
    with journal.open("a") as file:
        file.write('{"op_code": 8, "trial_id": 0, "st')
    (tmp_path / "study.journal.lock").symlink_to(journal)
    again = _open(tmp_path)
    assert again.values(number) == values
    again.report(number, 0.5, 1)
    assert len(_open(tmp_path)) == 1


def test_ends_are_recorded_as_optuna_states(tmp_path: Path) -> None:
    study = _open(tmp_path)
    for end, value in (("finished", 0.5), ("stopped", None), ("failed", None)):
        number = study.ask()
        study.values(number)
        for epoch in (1, 2):
            study.report(number, 0.1 * epoch, epoch)
        study.report(number, float("nan"), 3)
        study.tell(number, end, value)
        study.tell(number, end, value)  # a second telling, after a crash between the two files, changes nothing
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(tmp_path / "study.journal")))
    trials = optuna.load_study(study_name="s", storage=storage).trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]
    assert [trial.value for trial in trials] == [0.5, 0.2, None]
    assert all(trial.intermediate_values == {1: 0.1, 2: 0.2} for trial in trials)


def test_successive_halving_judges_at_its_rungs_only_and_across_restarts(tmp_path: Path) -> None:
    sweep = _sweep("random", "asha")  # rungs at 4 and 8 of 12 epochs, one of two goes on
    good = _open(tmp_path, sweep)
    for epoch in range(1, 13):
        if epoch == 1:
            good.values(good.ask())
        good.report(0, 0.5, epoch)
        assert not good.should_stop(0)
    bad = _open(tmp_path, sweep)
    bad.values(bad.ask())
    judged = []
    for epoch in range(1, 5):
        bad.report(1, 0.4, epoch)
        judged.append(bad.should_stop(1))
    assert judged == [False, False, False, True]
    assert _open(tmp_path, sweep).should_stop(1), "killed after the verdict, it is asked for once more"
    better = _open(tmp_path, sweep)
    better.values(better.ask())
    better.report(2, 0.6, 4)
    assert not better.should_stop(2)
    best = _open(tmp_path, sweep)
    best.values(best.ask())
    best.report(3, 0.7, 4)
    best.report(3, 0.7, 5)
    assert not _open(tmp_path, sweep).should_stop(2), (
        "a trial allowed to continue continues, whatever later trials report"
    )


def test_a_minimised_metric_stops_the_larger(tmp_path: Path) -> None:
    sweep = _sweep("random", "asha").model_copy(update={"mode": "min"})
    study = _open(tmp_path, sweep)
    stopped = []
    for number, value in enumerate((0.5, 0.6, 0.4)):
        study.values(study.ask())
        study.report(number, value, 4)
        stopped.append(study.should_stop(number))
    assert stopped == [False, True, False]


def _curves(seed: int, *, distinct: bool) -> list[list[float]]:
    """Twelve epochs of 25 trials, some of them equal if wanted."""
    noise = random.Random(seed)
    return [[noise.random() if distinct else noise.randrange(4) / 4 for _ in range(12)] for _ in range(25)]


def _stopped_at(should_stop: Callable[[int, int, float], bool], curves: list[list[float]]) -> list[int | None]:
    """The epoch after which each trial is stopped, trial after trial."""
    return [
        next((e for e, value in enumerate(curve[:-1], start=1) if should_stop(number, e, value)), None)
        for number, curve in enumerate(curves)
    ]


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("distinct", [True, False])
def test_successive_halving_follows_the_paper(tmp_path: Path, mode: Literal["max", "min"], distinct: bool) -> None:
    sweep = _sweep("random", "asha").model_copy(update={"mode": mode})
    study = _open(tmp_path, sweep)
    at_rung: dict[int, list[float]] = {4: [], 8: []}  # values that came to a rung, in order of trial

    def slow(number: int, epoch: int, value: float) -> bool:
        if epoch not in at_rung:
            return False
        at_rung[epoch].append(value)
        better = sum(other > value if mode == "max" else other < value for other in at_rung[epoch])
        equal_before_it = at_rung[epoch][:-1].count(value)
        return better + equal_before_it >= max(1, len(at_rung[epoch]) // 2)

    def ours(number: int, epoch: int, value: float) -> bool:
        if epoch == 1:
            study.values(study.ask())
        study.report(number, value, epoch)
        return study.should_stop(number)

    curves = _curves(3, distinct=distinct)
    stops = _stopped_at(ours, curves)
    assert stops == _stopped_at(slow, curves)
    assert {None, 4, 8} == set(stops)
    if distinct:  # of equals, Optuna lets all go on
        assert stops == _stopped_at(_optuna_pruner(mode), curves)


def _optuna_pruner(mode: str) -> Callable[[int, int, float], bool]:
    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=4, reduction_factor=2)
    study = optuna.create_study(direction=f"{mode}imize", pruner=pruner)
    trials: list[optuna.Trial] = []

    def should_stop(number: int, epoch: int, value: float) -> bool:
        if epoch == 1:
            trials.append(study.ask())
        trials[number].report(value, epoch)
        return trials[number].should_prune()

    return should_stop
