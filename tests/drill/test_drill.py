"""The short form of the drill, and a test that its checks detect damage. The long form is `make drill`."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.drill import checks, faults, sabotage, services, watch
from tests.drill.kills import STUDY, TRIALS
from tests.drill.scenario import EPOCH_STEPS, Blow, disturb, sweep
from tests.drill.surroundings import Surroundings
from tests.orchestrator.command import Command, descendants

pytestmark = [pytest.mark.xdist_group("ray"), pytest.mark.timeout(900)]
TWICE = {"addons.msr.base_weight": 0.5}


@pytest.fixture
def running() -> Iterator[Surroundings]:
    """A cluster of two nodes with all services; skipped without PostgreSQL, which `.ci/run` installs."""
    try:
        services.binaries()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    with services.home() as home, Surroundings(home) as running:
        yield running


def test_node_and_driver_killed_under_a_trial_of_two_workers_change_no_number(running: Surroundings) -> None:
    command = sweep(
        "short",
        running.home,
        {"sweep.enqueue": [TWICE, TWICE]},  # two equal trials: the first is the undisturbed reference of the second
        workers=2,
        trials=2,
        storage=running.storage,
        arguments=running.arguments,
    )
    # The lost node takes one of the two workers with it; the long form also kills a worker alone.
    blows = [Blow(faults.NODE, 1, 3), Blow(faults.DRIVER, 1, 6)]
    outcomes, problems = disturb(running, command, blows)
    problems += checks.accounted(command, 2) + checks.mirrored(command, running.mlflow.uri) + checks.tidy(running.ray)
    assert problems == []
    assert [outcome.fault for outcome in outcomes] == [blow.fault for blow in blows]
    reports, weights = command.reports(), command.weights()
    assert reports[0] == reports[1]
    assert weights[0] == weights[1]


@pytest.mark.slow
def test_every_sabotage_fails_a_check(tmp_path: Path) -> None:
    command, uri = Command(tmp_path, STUDY, patience=300), f"sqlite:///{tmp_path / 'mlflow.db'}"
    process = command.start()
    command.wait_until(lambda: command.sweep.trial(1).last_epoch() >= 2)
    family = descendants(process.pid)
    command.kill_when(lambda: True)
    assert checks.ended({os.getpid()})
    assert not checks.ended(family)
    before = watch.take(command)
    for spoil in sabotage.BEFORE_GOING_ON.values():
        spoil(command)
    command.start()
    seen = watch.Watch(command, before, EPOCH_STEPS)
    command.wait_until(seen.look)
    code, _, errors = command.finish()
    assert code == 0, errors
    assert checks.accounted(command, TRIALS) == []
    assert checks.mirrored(command, uri) == []
    sabotage.duplicate_step(command, uri)
    assert checks.resumed(seen.resumed, before) == [
        "trial 1 resumed from step 0 although it had a checkpoint of step 8"
    ]
    assert checks.untouched(command, before) == ["trial 0 had ended and was run again"]
    assert checks.mirrored(command, uri) == ["MLflow, trial 0, loss: steps [1] are repeated"]
