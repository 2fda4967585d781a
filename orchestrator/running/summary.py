"""The closing text of a sweep: who won, by how much, beside what, where it lies, and what to type next."""

import math
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestrator.running.ledger import Ledger, Trial
from orchestrator.running.wording import best, count, number, settings

Row = Mapping[str, int | float]
Scores = Mapping[str, Row]


def summary(
    ledger: Ledger, baselines: Scores | str, *, command: Sequence[str], places: Sequence[str] = (), tracking_uri: str
) -> str:
    """The closing text, made from the sweep's folder alone.

    Args:
        ledger: of the sweep, whatever state it is in.
        baselines: metrics by name of what the best encoder has to beat, or why they were not measured.
        command: arguments of the command that continues the sweep, after `python -m orchestrator.sweep`.
        places: those of them that say where sweeps and MLflow are, which other commands need too.
        tracking_uri: of MLflow.

    Returns:
        Lines of text, the last one ended.
    """
    trials = list(ledger.trials.values())
    leader = best(trials, ledger.sweep)
    blocks = [_head(ledger, trials)]
    if leader is not None:
        blocks.append(_leader(ledger, leader, trials, baselines))
    failed = [f"  trial {trial.number}: {trial.reason}" for trial in trials if trial.state == "failed"]
    if failed:
        blocks.append("\n".join(["Failed", *failed]))
    blocks.append(_commands(ledger, leader, command, places=places, tracking_uri=tracking_uri))
    return "\n\n".join(blocks) + "\n"


def within_two_errors(one: float, one_error: float, other: float, other_error: float) -> bool:
    """Whether two scores are a tie: apart by at most two standard errors of their difference, taken as independent."""
    return abs(one - other) <= 2 * math.hypot(one_error, other_error)


def _head(ledger: Ledger, trials: Sequence[Trial]) -> str:
    states = [trial.state for trial in trials]
    ends = ", ".join(f"{states.count(state)} {state}" for state in ("finished", "stopped", "failed") if state in states)
    total = ledger.sweep.trials
    whole = (
        f"Sweep {ledger.folder.name} is complete"
        if ledger.is_complete
        else f"Sweep {ledger.folder.name} is NOT complete"
    )
    done = sum(trial.is_over for trial in trials)
    head = f"{whole}: {done} of {count(total, 'trial')} ended" + (f" ({ends})" if ends else "")
    budget = sum(trial.epochs for trial in trials)
    spent = sum(trial.epoch for trial in trials)
    if ledger.is_complete and budget:
        head += f"; {spent} of {budget} epochs were trained ({100 * spent / budget:.0f} %)"
    why = f" Why: {ledger.closing}." if ledger.closing and not ledger.is_complete else ""
    return f"{head}.{why}"


def _leader(ledger: Ledger, leader: Trial, trials: Sequence[Trial], baselines: Scores | str) -> str:
    metric = ledger.sweep.metric
    lines = [f"Best: trial {leader.number}, {metric} {_with_error(leader.reports[-1], metric)} on validation data"]
    if leader.values:
        lines.append(f"  settings  {settings(leader.values)}")
    lines.append(f"  encoder   {_near(ledger.folder.trial(leader.number).encoder_weights)}")
    ties = [f"trial {trial.number} ({settings(trial.values)})" for trial in _ties(leader, trials, metric)]
    if ties:
        lines.append(f"  ties      within two standard errors of it: {', '.join(ties)}")
    rows: dict[str, Row] = {"best trial": leader.reports[-1]}
    if isinstance(baselines, str):
        lines.append(f"  baselines were not measured: {baselines}")
    else:
        rows |= baselines
    return "\n".join(lines) + "\n\n" + _scores(rows)


def _ties(leader: Trial, trials: Sequence[Trial], metric: str) -> list[Trial]:
    error = f"{metric}_se"
    if error not in leader.reports[-1]:
        return []
    others = [trial for trial in trials if trial.state == "finished" and trial is not leader]
    best_value, best_error = leader.value(metric), leader.value(error)
    return [o for o in others if within_two_errors(best_value, best_error, o.value(metric), o.value(error))]


def _scores(rows: Scores) -> str:
    """Validation scores side by side: every metric with a standard error, and every one that all rows share."""
    leader = rows["best trial"]
    metrics = [name for name in leader if f"{name}_se" in leader or all(name in row for row in rows.values())]
    metrics = [name for name in metrics if not name.endswith("_se")]
    cells = [["", *metrics]]
    cells += [[name, *(_with_error(row, metric) for metric in metrics)] for name, row in rows.items()]
    widths = [max(len(row[column]) for row in cells) for column in range(len(metrics) + 1)]
    return "\n".join(
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def _commands(
    ledger: Ledger, leader: Trial | None, command: Sequence[str], *, places: Sequence[str], tracking_uri: str
) -> str:
    """Where the sweep lies, and lines to paste into a shell of this working folder."""
    python = _near(Path(sys.executable))
    sweep = [python, "-m", "orchestrator.sweep"]
    lines = [
        f"folder      {_near(ledger.folder.path)} (this text is in {_near(ledger.folder.summary)})",
        f"compare     {_open_mlflow(tracking_uri)}",
    ]
    if not ledger.is_complete:
        lines.append(f"continue    {shlex.join([*sweep, *command])}")
    else:
        lines.append(f"more        {shlex.join([*sweep, *_with_trials(command, 2 * ledger.sweep.trials)])}")
    if leader is not None:
        trial = ledger.folder.trial(leader.number)
        lines.append(f"evaluate    {shlex.join([python, '-m', 'orchestrator.evaluate', _near(trial.path), *places])}")
        lines.append(f"rerun best  {shlex.join([*sweep, _near(trial.config_file), *places])}")
    return "\n".join(lines)


def _open_mlflow(uri: str) -> str:
    if uri.startswith(("http://", "https://", "databricks")):
        return f"open {uri}"
    store = f"sqlite:///{_near(Path(uri.removeprefix('sqlite:///')))}" if uri.startswith("sqlite:///") else uri
    return shlex.join([_near(Path(sys.executable).with_name("mlflow")), "ui", "--backend-store-uri", store])


def _with_trials(command: Sequence[str], trials: int) -> list[str]:
    """The command asking for that many trials, whatever it asked for before."""
    kept = list(command)
    while "--trials" in kept:
        at = kept.index("--trials")
        del kept[at : at + 2]
    return [*kept, "--trials", str(trials)]


def _with_error(report: Row, metric: str) -> str:
    if metric not in report:
        return "-"
    error = report.get(f"{metric}_se")
    return number(float(report[metric])) + (f" ± {error:.2g}" if error is not None else "")


def _near(path: Path) -> str:
    """A path as a user in this folder would type it."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
