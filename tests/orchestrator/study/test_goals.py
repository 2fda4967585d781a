"""Several metrics in `sweep.metric`, and `sweep.confirm`: what is read, and what is refused in one line."""

import pytest

from orchestrator.config.sweep import Goal, read_sweep
from orchestrator.core.errors import UserError
from orchestrator.study.study_file import load_study
from tests.orchestrator.studies import with_changes, write_study

TWO = {
    "sweep.metric": ["val_knn/1", "rankme"],
    "sweep.mode": ["max", "min"],
    "sweep.scheduler": {"name": "none"},
    "run.evaluation.collapse": {},
}


def test_one_metric_is_one_goal_and_several_are_read_back_as_written():
    assert read_sweep({"name": "s", "trials": 1, "metric": "a"}).goals == (Goal("a", "max"),)
    section = {"name": "s", "trials": 1, "metric": ["a", "b"], "mode": ["min", "max"]}
    sweep = read_sweep(section)
    assert sweep.goals == (Goal("a", "min"), Goal("b", "max"))
    dumped = sweep.model_dump(mode="json")
    assert {key: dumped[key] for key in section} == section
    assert read_sweep(dumped) == sweep


def test_metrics_of_the_last_epoch_will_do_where_nothing_is_stopped(tmp_path):
    changes = TWO | {"sweep.metric": ["val_knn/1", "linear_val/2"]}
    study = load_study(write_study(tmp_path, with_changes(changes)))
    assert [goal.metric for goal in study.sweep.goals] == ["val_knn/1", "linear_val/2"]


def test_a_confirmation_counts_the_enqueued_and_the_best():
    section = {"name": "s", "trials": 5, "metric": "a", "enqueue": [{}, {}], "confirm": {"top": 9, "seeds": 4}}
    assert read_sweep(section).most_repeats == (5 + 2) * 4
    assert read_sweep(section | {"confirm": None}).most_repeats == 0


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"sweep.mode": "max"}, "sweep: mode must be a list of 2, as many as metric"),
        ({"sweep.mode": ["max", "mn"]}, 'sweep.mode = ["max", "mn"]: must be max or min, or for several'),
        ({"sweep.metric": "val_knn/1"}, "sweep: mode must be one, as many as metric"),
        ({"sweep.metric": ["val_knn/1"]}, 'sweep.metric = ["val_knn/1"]: text must be given, or for several'),
        ({"sweep.metric": ["rankme", "rankme"]}, "a list of different ones"),
        ({"sweep.metric": ["val_knn/1", "rank"]}, "sweep.metric = rank: no evaluation of this run makes it; did you"),
        ({"sweep.scheduler": {"name": "asha"}}, "sweep.scheduler.name = asha: name = none must hold with several"),
        ({"sweep.confirm": {"seeds": 1}}, "sweep.confirm.seeds = 1: seeds >= 2 must hold"),
        ({"sweep.confirm": {"tops": 1}}, "sweep.confirm.tops = 1: unknown key; did you mean top?"),
        ({"sweep.trials": 10_001}, "sweep.trials = 10001: trials <= 10000 must hold"),
        ({"sweep.confirm": {}, "search": {"seed": {"int": [0, 9]}}}, "search.seed: must not be searched, since"),
    ],
)
def test_file_is_refused_in_one_line(tmp_path, changes, expected):
    study = with_changes(TWO | changes)
    with pytest.raises(UserError) as refused:
        load_study(write_study(tmp_path, study))
    (line,) = str(refused.value).split("\n")
    assert expected in line
