import itertools
import random
from pathlib import Path

import pytest
import yaml

from orchestrator.config.sweep import Goal
from orchestrator.core.errors import UserError
from orchestrator.core.trial_number import repeat_number
from orchestrator.evaluate import target as subjects
from orchestrator.records.folder import SweepFolder
from orchestrator.records.leaderboard import Standings, front
from tests.orchestrator.invented_sweep import begin, invent

GOALS = (Goal("accuracy", "max"), Goal("gap", "min"))


def beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """By the textbook: at least as accurate and of no larger gap, and not the same."""
    return one[0] >= other[0] and one[1] <= other[1] and one != other


@pytest.mark.parametrize("seed", range(5))
def test_front_is_what_no_other_trial_dominates(seed: int) -> None:
    draw = random.Random(seed)
    scores = {n: (float(draw.randrange(6)), float(draw.randrange(6))) for n in range(25)}
    slow = [n for n, one in scores.items() if not any(beats(other, one) for other in scores.values())]
    firsts = [n for n in slow if not any(scores[m] == scores[n] for m in slow if m < n)]
    found = front(scores, GOALS)
    assert sorted(found) == firsts
    assert all(scores[a][0] > scores[b][0] for a, b in itertools.pairwise(found)), "the most accurate first"


def test_one_goal_has_one_leader_the_first_of_equals() -> None:
    assert front({4: (1.0,), 2: (3.0,), 1: (3.0,)}, GOALS[:1]) == [1]
    assert front({4: (1.0,), 2: (3.0,), 1: (3.0,)}, GOALS[1:]) == [4]


@pytest.fixture
def two_goals(tmp_path: Path) -> SweepFolder:
    """Trials 0 to 3 of a sweep for accuracy and gap, the last one stopped, and a brilliant repeat of trial 0."""
    folder = invent(tmp_path / "pareto", trials=4)
    tree = yaml.safe_load(folder.file.read_text())
    tree["sweep"] |= {"metric": ["accuracy", "gap"], "mode": ["max", "min"], "scheduler": {"name": "none"}}
    folder.file.write_text(yaml.safe_dump(tree))
    values = {0: [50.0, 9.0], 1: [40.0, 3.0], 2: [45.0, 10.0], 3: [99.0, 0.0], repeat_number(0, 1): [99.0, 0.0]}
    for number, value in values.items():
        state = "stopped" if number == 3 else "finished"
        begin(folder, number).write_result({"state": state, "reason": None, "epoch": 6, "value": value})
    return folder


def test_leaders_of_a_folder_are_its_front(two_goals: SweepFolder) -> None:
    led = Standings(two_goals).history
    assert len(led) == 3
    assert [(one.trial.number, one.values) for one in led[-1]] == [(0, (50.0, 9.0)), (1, (40.0, 3.0))]


def test_updated_standings_equal_those_read_from_scratch(two_goals: SweepFolder) -> None:
    kept, draw = Standings(two_goals), random.Random(1)
    for number in (9, 4, 7, 5, 8, 6):
        value = [float(draw.randrange(45, 55)), float(draw.randrange(2, 10))]
        trials = [begin(two_goals, number), two_goals.trial(0), two_goals.trial(repeat_number(0, 1))]
        kept.update(trials)
        two_goals.trial(number).write_result({"state": "finished", "reason": None, "epoch": 6, "value": value})
        kept.update(trials)
        assert kept.trials == kept.ended == {trial.number for trial in two_goals.trials()}
    reread = Standings(two_goals)
    assert [[one.trial.number for one in front] for front in kept.history] == [
        [one.trial.number for one in front] for front in reread.history
    ]
    assert len(kept.history) == 9
    assert sorted(one.trial.number for one in kept.history[-1]) == sorted(
        front({one.trial.number: one.values for led in kept.history for one in led}, GOALS)
    )


def test_evaluating_a_sweep_of_several_goals_asks_which_trial(two_goals: SweepFolder) -> None:
    with pytest.raises(UserError, match="its Pareto front holds trials 0, 1; name the folder of one of them, such as"):
        subjects.locate("pareto", two_goals.path.parent, "sqlite:////nowhere.db")
