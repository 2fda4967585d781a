"""Checks of a sweep that ended after faults; each returns a list of problems, one sentence each."""

import math
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TypeVar

from mlflow import MlflowClient

from orchestrator.records.folder import TrialFolder
from tests.drill.cluster import Cluster
from tests.drill.watch import Resumption, Snapshot, end
from tests.orchestrator.command import Command, is_agent, living
from tests.orchestrator.tracking.mirrored import runs

_PATIENCE = 60.0  # seconds that Ray has to clean up

# An actor of Ray Train that outlives runs; and the titles of processes that serve the whole cluster or are idle.
_OF_THE_CLUSTER = "AutoscalingCoordinator"
_SERVES_ALL = re.compile(rf"ray::(IDLE|\w*Agent|_{_OF_THE_CLUSTER})").match

Problems = list[str]
T = TypeVar("T")


def accounted(command: Command, trials: int) -> Problems:
    """Every trial exists, has finished, and has reported every epoch once."""
    numbers = [trial.number for trial in command.sweep.trials()]
    problems = [] if numbers == list(range(trials)) else [f"found trials {numbers} instead of 0 to {trials - 1}"]
    for trial in command.sweep.trials():
        state = (trial.result() or {}).get("state")
        epochs = trial.config()["run"]["training"]["epochs"]
        reported = [report["epoch"] for report in trial.reports()]
        if state != "finished":
            problems.append(f"trial {trial.number} is {state}, not finished")
        if reported != list(range(1, epochs + 1)):
            problems.append(f"trial {trial.number} has reports of epochs {reported}, not 1 to {epochs}")
    return problems


def untouched(command: Command, before: Snapshot) -> Problems:
    """Trials that had ended before are neither lost nor run again."""
    ends = {trial.number: end(trial) for trial in command.sweep.trials() if trial.result_file.exists()}
    return [
        f"trial {number} had ended and was run again"
        for number in before.ended
        if ends.get(number) != before.ended[number]
    ]


def resumed(resumptions: Mapping[int, Resumption], before: Snapshot, *, unreadable: int = 0) -> Problems:
    """Every trial resumed from its newest readable checkpoint.

    Args:
        resumptions: The observed resumptions, by trial number.
        before: The sweep at the time of the fault.
        unreadable: Number of the newest checkpoints of each trial that were damaged.
    """
    problems = []
    for number, resumption in resumptions.items():
        steps = sorted(before.checkpoints[number])
        newest = steps[-1 - unreadable] if len(steps) > unreadable else 0
        if resumption.step < newest:
            problems.append(
                f"trial {number} resumed from step {resumption.step} although it had a checkpoint of step {newest}"
            )
    return problems


def equal(command: Command, reference: Command) -> Problems:
    """Reports, results and weights are bitwise equal to those of an undisturbed sweep."""
    pairs = {
        "reports": (command.reports(), reference.reports()),
        "result": (command.results(), reference.results()),
        "weights": (command.weights(), reference.weights()),
    }
    return [
        f"trial {number}: its {what} differ from the undisturbed sweep's"
        for what, (ours, theirs) in pairs.items()
        for number in theirs
        if ours.get(number) != theirs[number]
    ]


def mirrored(command: Command, uri: str) -> Problems:
    """MLflow has one finished run per trial and one for the sweep, and every value of every report exactly once."""
    client = MlflowClient(uri)
    found = runs(uri, command.sweep.name)
    count = Counter(run.data.tags["trial"] for run in found)
    wanted = {"parent", *(str(trial.number) for trial in command.sweep.trials())}
    problems = [f"MLflow has {count[key]} runs of {key}" for key in sorted(wanted | set(count)) if count[key] != 1]
    by_trial = {run.data.tags["trial"]: run.info for run in found}
    problems += [
        f"MLflow's run of {key} is {info.status}" for key, info in by_trial.items() if info.status != "FINISHED"
    ]
    for trial in command.sweep.trials():
        if str(trial.number) in by_trial:
            problems += _logged(client, by_trial[str(trial.number)].run_id, trial)
    return problems


def _logged(client: MlflowClient, run_id: str, trial: TrialFolder) -> Problems:
    problems, reports = [], trial.reports()
    for name in reports[-1] if reports else ():
        reported = [(report["epoch"], report[name]) for report in reports if name in report]
        history = [(point.step, point.value) for point in client.get_metric_history(run_id, name)]
        if not _same(sorted(history), reported):
            times = Counter(step for step, _ in history)
            missing = [epoch for epoch, _ in reported if epoch not in times]
            repeated = sorted(step for step in times if times[step] > 1)
            differences = [f"steps {missing} are missing"] * bool(missing) + [f"steps {repeated} are repeated"] * bool(
                repeated
            )
            what = ", ".join(differences) or "values differ from those of the folder"
            problems.append(f"MLflow, trial {trial.number}, {name}: {what}")
    return problems


def _same(logged: list[tuple[int, float]], reported: list[tuple[int, float]]) -> bool:
    return len(logged) == len(reported) and all(
        step == epoch and math.isclose(value, number, rel_tol=1e-12)  # a database may round the last digit
        for (step, value), (epoch, number) in zip(logged, reported, strict=True)
    )


def ended(family: set[int]) -> Problems:
    """No process of an ended command is still running."""
    left = _after_patience(lambda: {pid for pid in living(family) if not is_agent(pid)})
    return [f"process {pid} of the command is still running" for pid in sorted(left)]


def tidy(cluster: Cluster) -> Problems:
    """The sweep leaves nothing in the idle cluster: no actor, placement group or busy process."""

    def left() -> Problems:
        actors = [one for one in cluster.ask("actors") if one["state"] != "DEAD" and one["name"] != _OF_THE_CLUSTER]
        groups = [one for one in cluster.ask("placement_groups") if one["state"] != "REMOVED"]
        busy = [title for title in cluster.processes().values() if title.startswith("ray::")]
        problems = [f"Ray still has an actor {one['class_name']}, {one['state']}" for one in actors]
        problems += [f"Ray still has a placement group, {one['state']}" for one in groups]
        return problems + [f"Ray still runs {title}" for title in busy if not _SERVES_ALL(title)]

    return _after_patience(left)


def _after_patience(left: Callable[[], T]) -> T:
    """Poll `left` until it is empty or the patience is over; return its last result."""
    deadline = time.monotonic() + _PATIENCE
    while (found := left()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return found
