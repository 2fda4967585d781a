"""The closing text of a sweep: the best trials beside the baselines, where they are, and what to run next."""

import math
import shlex
import sys
from collections.abc import Mapping, Sequence

from orchestrator.config.sweep import Goal
from orchestrator.core import command_line
from orchestrator.search import confirmation
from orchestrator.search.formatting import columns, count, leading, numbered, settings, with_error
from orchestrator.search.ledger import Ledger
from orchestrator.search.retention import holdings
from orchestrator.search.trial_state import Trial
from orchestrator.storage.path import parse

Row = Mapping[str, int | float]
Scores = Mapping[str, Row]

_MOST_LISTED = 10  # trials in a list that may be as long as the sweep


def summary(
    ledger: Ledger, baselines: Scores | str, *, command: Sequence[str], places: Sequence[str] = (), compare: str
) -> str:
    """The closing text, made from the sweep's folder alone.

    Args:
        ledger: of the sweep, whatever state it is in.
        baselines: metrics of each baseline by its name, or why they were not measured.
        command: arguments of the command that continues the sweep, after the words that start `sweep`.
        places: those of them for storage and tracking, which other commands need too.
        compare: the command that compares the results with those of other sweeps.

    Returns:
        Lines of text, each ending with a newline.
    """
    trials = list(ledger.searched.values())
    leaders = leading(trials, ledger.sweep)
    blocks = [_head(ledger, trials)]
    if leaders:
        found = _best(ledger, leaders[0], trials) if len(ledger.sweep.goals) == 1 else _front(ledger, leaders, trials)
        name = "best trial" if len(ledger.sweep.goals) == 1 else ""
        rows = {name or f"trial {trial.number}": trial.reports[-1] for trial in leaders}
        blocks.append(_beside(found, rows, baselines))
    if ledger.repeats is not None:
        blocks.append(confirmation.text(confirmation.confirmation(ledger, ledger.repeats), ledger.sweep))
    failed = [f"trial {trial.number}: {trial.reason}" for trial in ledger.trials.values() if trial.state == "failed"]
    if failed:
        blocks.append("\n  ".join(["Failed", *_shortened(failed)]))
    blocks.append(_commands(ledger, leaders, command, places=places, compare=compare))
    return "\n\n".join(blocks) + "\n"


def within_two_errors(one: float, one_error: float, other: float, other_error: float) -> bool:
    """Whether two independent scores differ by at most two standard errors of their difference."""
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
    if ledger.is_searched and budget:
        head += f"; {spent} of {budget} epochs were trained ({100 * spent / budget:.0f} %)"
    if ledger.repeats is not None:
        over = sum(trial.is_over for trial in ledger.trials.values() if trial.is_repeat)
        head += f"; {over} of {count(len(ledger.repeats.numbers), 'repeat')} with new seeds ended"
    why = f" Why: {ledger.closing}." if ledger.closing and not ledger.is_complete else ""
    return f"{head}.{why}"


def _best(ledger: Ledger, leader: Trial, trials: Sequence[Trial]) -> list[str]:
    (goal,) = ledger.sweep.goals
    report = leader.reports[-1]
    lines = [f"Best: trial {leader.number}, {goal.metric} {with_error(report, goal.metric)} on validation data"]
    if leader.values:
        lines.append(f"  settings  {settings(leader.values)}")
    lines.append(f"  encoder   {ledger.folder.trial(leader.number).encoder_weights.display()}")
    ties = [trial for trial in _rivals([leader], trials) if not _clearly_beats(leader, trial, [goal])]
    # A tie is defined only with standard errors.
    if ties and f"{goal.metric}_se" in report:
        ties.sort(key=lambda trial: goal.cost(trial.value(goal.metric)))
        listed = ", ".join(_shortened([f"trial {trial.number} ({settings(trial.values)})" for trial in ties]))
        lines.append(f"  ties      within two standard errors of it: {listed}")
    return lines


def _shortened(items: Sequence[str]) -> list[str]:
    """The first items of a long list, and how many more there are."""
    more = len(items) - _MOST_LISTED
    return [*items[:_MOST_LISTED], f"and {more} more"] if more > 1 else list(items)


def _front(ledger: Ledger, front: Sequence[Trial], trials: Sequence[Trial]) -> list[str]:
    goals = ledger.sweep.goals
    aims = " and ".join(f"{'more' if goal.mode == 'max' else 'less'} {goal.metric}" for goal in goals)
    lines = [f"Pareto front of {aims}, on validation data: {numbered(front)}"]
    lines += [columns([[f"trial {trial.number}", settings(trial.values)] for trial in front])]
    rivals = _rivals(front, trials)
    ties = [rival for rival in rivals if not any(_clearly_beats(leader, rival, goals) for leader in front)]
    if ties:
        lines.append(f"  beaten by no more than two standard errors: {numbered(ties)}")
    return lines


def _rivals(leaders: Sequence[Trial], trials: Sequence[Trial]) -> list[Trial]:
    numbers = [leader.number for leader in leaders]
    return [trial for trial in trials if trial.state == "finished" and trial.number not in numbers]


def _clearly_beats(one: Trial, other: Trial, goals: Sequence[Goal]) -> bool:
    """Whether a trial is better in some goal by more than two standard errors, and worse in none."""
    better = [goal.cost(one.value(goal.metric)) <= goal.cost(other.value(goal.metric)) for goal in goals]
    ties = [
        within_two_errors(one.value(name), _error(one, name), other.value(name), _error(other, name))
        for name in (goal.metric for goal in goals)
    ]
    return all(better) and not all(ties)


def _error(trial: Trial, metric: str) -> float:
    return float(trial.reports[-1].get(f"{metric}_se", 0.0))


def _beside(found: Sequence[str], rows: Scores, baselines: Scores | str) -> str:
    """The result, with a table of validation scores that includes the baselines."""
    if isinstance(baselines, str):
        return "\n".join([*found, f"  baselines were not measured: {baselines}"]) + "\n\n" + _scores(rows, rows)
    return "\n".join(found) + "\n\n" + _scores(rows, {**rows, **baselines})


def _scores(leaders: Scores, rows: Scores) -> str:
    """Scores side by side: every metric of the leaders with a standard error, and every one that all rows share."""
    leader = next(iter(leaders.values()))
    metrics = [name for name in leader if f"{name}_se" in leader or all(name in row for row in rows.values())]
    metrics = [name for name in metrics if not name.endswith("_se")]
    return columns(
        [["", *metrics], *([name, *(with_error(row, metric) for metric in metrics)] for name, row in rows.items())]
    )


def _commands(
    ledger: Ledger, leaders: Sequence[Trial], command: Sequence[str], *, places: Sequence[str], compare: str
) -> str:
    """The sweep's folder, and commands to paste into a shell in this working folder."""
    python = parse(sys.executable).display()
    sweep, evaluate = (command_line.words(f"orchestrator.{name}", python) for name in ("sweep", "evaluate"))
    lines = [
        f"folder      {ledger.folder.path.display()} (this text is in {ledger.folder.summary.display()})",
        f"holds       {holdings(ledger.folder)}",
        f"compare     {compare}",
    ]
    if not ledger.is_complete:
        lines.append(f"continue    {shlex.join([*sweep, *command])}")
    else:
        lines.append(f"more        {shlex.join([*sweep, *_with_trials(command, 2 * ledger.sweep.trials)])}")
    folders = [ledger.folder.trial(leader.number) for leader in leaders]
    rerun = "rerun best" if len(leaders) == 1 else "rerun one"
    lines += [f"evaluate    {shlex.join([*evaluate, folder.path.display(), *places])}" for folder in folders]
    there = [*places, *_cluster(command)]
    lines += [f"{rerun:12}{shlex.join([*sweep, folder.config_file.display(), *there])}" for folder in folders[:1]]
    return "\n".join(lines)


def _cluster(command: Sequence[str]) -> list[str]:
    """The arguments of a command that select its Ray cluster."""
    before = ["", *command]
    named = zip(before, command, strict=False)
    return [word for last, word in named if "--address" in (last, word) or word.startswith("--address=")]


def _with_trials(command: Sequence[str], trials: int) -> list[str]:
    """The command with `--trials` set to that number."""
    kept = list(command)
    while "--trials" in kept:
        at = kept.index("--trials")
        del kept[at : at + 2]
    return [*kept, "--trials", str(trials)]
