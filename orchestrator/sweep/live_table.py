"""Progress of a running sweep: a live table on a terminal, one line per event elsewhere."""

import math
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from orchestrator.config.sweep import Goal
from orchestrator.search.formatting import count, duration, leading, number, numbered, settings
from orchestrator.search.ledger import Ledger
from orchestrator.search.trial_state import Trial

_LINES_AROUND = 6  # of a table: the headline, which may be folded, the columns' names, what is left out, a note
_COLOURS = {"waiting": "dim", "running": "cyan", "finished": "green", "stopped": "yellow", "failed": "red"}


@runtime_checkable
class Display(Protocol):
    """Shows the progress of a sweep."""

    def changed(self, number: int) -> None:
        """Show that trial `number` has changed."""
        ...

    def note(self, sentence: str) -> None:
        """Show a sentence about the whole sweep."""
        ...


class Silence:
    """`--quiet`: nothing until the closing summary."""

    def changed(self, number: int) -> None:
        """Does nothing."""

    def note(self, sentence: str) -> None:
        """Does nothing."""


class Lines:
    """One line per event, for logs and pipes.

    Args:
        ledger: of the sweep.
        console: to write to.
    """

    def __init__(self, ledger: Ledger, console: Console) -> None:
        self._ledger, self._console = ledger, console

    def changed(self, number: int) -> None:
        """Writes the trial's newest event."""
        self.note(event(self._ledger.trials[number], self._ledger.sweep.goals))

    def note(self, sentence: str) -> None:
        """Writes the sentence."""
        if sentence:
            self._console.print(sentence, markup=False, highlight=False, soft_wrap=True)


class LiveTable:
    """One table that is redrawn twice a second, of as many trials as the terminal has lines for.

    Args:
        ledger: of the sweep.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger, self._note = ledger, ""

    def changed(self, number: int) -> None:
        """Does nothing: the next drawing shows it."""

    def note(self, sentence: str) -> None:
        """Keeps the sentence below the table until another replaces it."""
        self._note = sentence

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """The table as of now."""
        trials = list(self._ledger.trials.values())  # a copy, since rich draws from a thread of its own
        leaders = leading(trials, self._ledger.sweep)
        shown = in_sight(trials, leaders, room=console.height - _LINES_AROUND)
        yield Text(headline(self._ledger), style="bold")
        yield _table(self._ledger.sweep.goals, shown, leaders, fold=2 * len(trials) < console.height)
        if len(shown) < len(trials):
            numbers = {trial.number for trial in shown}
            yield Text(f"and {_counts(t for t in trials if t.number not in numbers)}", style="dim")
        if self._note:
            yield Text(self._note, style="yellow")


@contextmanager
def display(ledger: Ledger, *, quiet: bool) -> Iterator[Display]:
    """The display that fits standard output, for as long as the block runs."""
    console = Console(file=sys.stdout)  # this stream, even while standard output is redirected
    if quiet:
        yield Silence()
    elif console.is_terminal:
        table = LiveTable(ledger)
        with Live(
            get_renderable=lambda: table,
            console=console,
            refresh_per_second=2,
            redirect_stdout=False,
            redirect_stderr=False,
        ):
            yield table
    else:
        yield Lines(ledger, console)


def event(trial: Trial, goals: Sequence[Goal]) -> str:
    """The trial's newest event in one line; empty if it is not shown."""
    head = f"trial {trial.number:<3}"
    if trial.state == "waiting" and trial.reason:
        return f"{head} crashed: {trial.reason}; it is tried again from its checkpoint"
    if trial.state == "waiting":
        return ""  # shown once it starts
    if trial.state == "running" and len(trial.moments) == 1:
        verb = "goes on" if trial.reports else "starts"
        return f"{head} epoch {trial.epoch}/{trial.epochs}  {verb}  {settings(trial.values)}"
    scores = "  ".join(f"{name} {number(trial.value(name))}" for name in _shown(goals, [trial]))
    if trial.state == "running":
        left = left_in(trial)
        ahead = "" if left is None else f"  {duration(left)} left"
        return f"{head} epoch {trial.epoch}/{trial.epochs}  {scores}{ahead}"
    return f"{head} {trial.state} at epoch {trial.epoch}/{trial.epochs}  {trial.reason or scores}"


def headline(ledger: Ledger) -> str:
    """How far the sweep is, the best so far, and when it will be done."""
    trials = list(ledger.trials.values())  # a copy, since rich draws from a thread of its own
    searched = [trial for trial in trials if not trial.is_repeat]
    done = sum(trial.is_over for trial in searched)
    counts = _counts(trial for trial in searched if trial.state != "waiting")
    parts = [
        f"{ledger.folder.name}: {done} of {count(ledger.sweep.trials, 'trial')} done" + (counts and f" ({counts})")
    ]
    if ledger.repeats is not None:
        repeated = sum(trial.is_over for trial in trials if trial.is_repeat)
        parts[0] += f", {repeated} of {count(len(ledger.repeats.numbers), 'repeat')} with new seeds"
    leaders = leading(trials, ledger.sweep)
    metric, *others = (goal.metric for goal in ledger.sweep.goals)
    if leaders and others:
        parts.append(f"front: {numbered(leaders)}")
    elif leaders:
        parts.append(f"best: trial {leaders[0].number}, {metric} {number(leaders[0].value(metric))}")
    left = left_in_all(ledger)
    if left is not None and not ledger.is_complete:
        parts.append(f"about {duration(left)} left")
    return "  |  ".join(parts)


def left_in(trial: Trial) -> float | None:
    """Seconds until the trial has used its budget at the pace so far; None before its first epoch in this process."""
    if trial.state != "running" or len(trial.moments) < 2:
        return None
    since = time.monotonic() - trial.moments[-1]
    return max(0.0, (trial.epochs - trial.epoch) * _pace([trial]) - since)


def left_in_all(ledger: Ledger) -> float | None:
    """Seconds until the sweep ends if coming trials last as long as past ones; None before the first epoch."""
    trials = list(ledger.trials.values())
    if not any(len(trial.moments) > 1 for trial in trials):
        return None
    searched = [trial for trial in trials if not trial.is_repeat]
    over = [trial.epoch for trial in searched if trial.is_over]
    budget = max(trial.epochs for trial in trials)
    to_start = ledger.sweep.trials - len(searched)
    repeats = ledger.sweep.most_repeats if ledger.repeats is None else len(ledger.repeats.numbers)
    to_repeat = repeats - (len(trials) - len(searched))
    epochs = to_start * (sum(over) / len(over) if over else budget) + to_repeat * budget
    epochs += sum(trial.epochs - trial.epoch for trial in trials if not trial.is_over)
    to_end = ledger.sweep.trials + repeats - sum(trial.is_over for trial in trials)
    return epochs * _pace(trials) / min(ledger.sweep.concurrency, max(1, to_end))


def _pace(trials: Iterable[Trial]) -> float:
    """Seconds per epoch."""
    timed = [trial.moments for trial in trials if len(trial.moments) > 1]
    return sum(moments[-1] - moments[0] for moments in timed) / sum(len(moments) - 1 for moments in timed)


def _shown(goals: Sequence[Goal], trials: Iterable[Trial]) -> list[str]:
    reported = {name for trial in trials if trial.reports for name in trial.reports[-1]}
    names = dict.fromkeys([*(goal.metric for goal in goals), "loss", "feature_std"])
    return [name for name in names if name in reported]


def in_sight(trials: Sequence[Trial], leaders: Sequence[Trial], *, room: int) -> list[Trial]:
    """The trials that a table of `room` rows shows, in their order.

    If not all fit: the best, then those that run, then the rest of a front, then the newest to have ended.
    """
    front = {trial.number: place for place, trial in enumerate(leaders)}

    def rank(trial: Trial) -> tuple[int | float, ...]:
        if front.get(trial.number) == 0:
            return (0,)
        if trial.state == "running":
            return (1, trial.number)
        if trial.number in front:
            return (2, front[trial.number])
        # Trials of an earlier process have no moments; of these, the one with the highest number counts as the newest.
        return (3 if trial.is_over else 4, -max(trial.moments, default=-math.inf), -trial.number)

    chosen = {trial.number for trial in sorted(trials, key=rank)[: max(1, room)]}
    return [trial for trial in trials if trial.number in chosen]


def _counts(trials: Iterable[Trial]) -> str:
    states = Counter(trial.state for trial in trials)
    return ", ".join(f"{states[state]} {state}" for state in _COLOURS if states[state])


def _table(goals: Sequence[Goal], trials: Sequence[Trial], leaders: Sequence[Trial], *, fold: bool) -> Table:
    names = _shown(goals, trials)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("trial", "state", "epoch", *names, "left"):
        table.add_column(column, justify="right" if column not in ("state",) else "left", no_wrap=True)
    table.add_column("tried", overflow="fold" if fold else "ellipsis", no_wrap=not fold)
    for trial in trials:
        left = left_in(trial)
        cells: list[Any] = [str(trial.number), Text(trial.state, style=_COLOURS[trial.state])]
        cells.append(f"{trial.epoch}/{trial.epochs}")
        cells += [number(trial.value(name)) for name in names]
        cells.append("" if left is None else duration(left))
        tried = settings(trial.values) if trial.state != "failed" else f"{settings(trial.values)}: {trial.reason}"
        table.add_row(*cells, tried, style="bold" if any(trial is leader for leader in leaders) else "")
    return table
