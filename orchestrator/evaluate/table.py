"""The results of a suite as text."""

from collections.abc import Sequence

from rich.table import Table

from orchestrator.evaluate.runner import Evaluation, Row
from orchestrator.evaluate.suite import OWN
from orchestrator.probing.score import USUAL
from orchestrator.records import test_scores
from orchestrator.search.formatting import count

_SIDE_BY_SIDE = 4  # most protocols that fit into a line
_WITH_NOTES = 140  # fewest columns at which notes fit


def heading(evaluation: Evaluation) -> str:
    """The title of the table."""
    return f"{evaluation.subject.encoder.name}, on held-out tests: value ± standard error, in % unless stated otherwise"


def table(evaluation: Evaluation, width: int) -> Table:
    """One column per protocol if all have scored the same tests, otherwise one row per score.

    Args:
        evaluation: with at least one score.
        width: of the terminal, in columns.
    """
    tested: dict[str, list[tuple[str, str, str]]] = {}
    for row in evaluation.rows:
        tested.setdefault(row.protocol, []).append((row.data, _variant(row), row.score.metric))
    alike = all(things == next(iter(tested.values())) for things in tested.values())
    if alike and len(tested) <= _SIDE_BY_SIDE:
        return _side_by_side(evaluation.rows, list(tested))
    return _one_by_one(evaluation.rows, with_notes=width >= _WITH_NOTES)


def remarks(evaluation: Evaluation) -> str:
    """Times, notes and how often the test data have been used."""
    subject, lines = evaluation.subject, []
    for protocol, seconds in evaluation.seconds.items():
        notes = {row.score.note for row in evaluation.rows if row.protocol == protocol}
        lines.append(f"{protocol:<24} {seconds:7.1f} s  {notes.pop() if len(notes) == 1 else ''}".rstrip())
    lines.append(f"{'in all':<24} {sum(evaluation.seconds.values()):7.1f} s\n")
    lines += [f"Not measured: {one.protocol} on {one.data}: {one.reason}." for one in evaluation.unscored]
    lines.append(f"Encoder {subject.encoder.fingerprint[:16]}, frozen (the same hash before and after).")
    for name, (dataset, fingerprint) in _data(evaluation.rows).items():
        looks = test_scores.uses(subject.shelf.book, fingerprint)
        encoders = count(len({look["encoder"] for look in looks}), "encoder")
        whose = "This sweep's" if subject.trial and name == OWN else f"The {name}"
        lines.append(
            f"{whose} test set ({dataset} {fingerprint}) has been used {count(len(looks), 'time')}, on {encoders}."
        )
    lines.append("Selecting models by a test set turns it into a validation set.")
    lines.append(f"The scores are in {subject.shelf.folder / 'test.json'}.")
    return "\n".join(lines)


def _side_by_side(rows: Sequence[Row], protocols: Sequence[str]) -> Table:
    shown, several = Table(), _several(rows)
    for title in (*several, "test"):
        shown.add_column(title)
    for protocol in protocols:
        shown.add_column(protocol, justify="right", no_wrap=True)
    found = {(row.data, _variant(row), row.score.metric, row.protocol): row for row in rows}
    for data, variant, metric in dict.fromkeys((row.data, _variant(row), row.score.metric) for row in rows):
        cells = [_cell(found.get((data, variant, metric, protocol))) for protocol in protocols]
        tested = " ".join(part for part in (variant, "" if metric == USUAL else metric) if part)
        shown.add_row(*([data] if several else []), tested, *cells)
    return shown


def _one_by_one(rows: Sequence[Row], *, with_notes: bool) -> Table:
    """Cells equal to those of the row above are left empty."""
    shown, several = Table(), _several(rows)
    for title in ("protocol", *several, "test", "metric"):
        shown.add_column(title, no_wrap=True)
    shown.add_column("score", justify="right", no_wrap=True)
    if with_notes:
        shown.add_column("note")
    before: list[str] = []
    for row in rows:
        cells = [row.protocol, *([row.data] if several else []), _variant(row)]
        if before and before[0] != row.protocol:
            shown.add_section()
        same = next((n for n, (new, old) in enumerate(zip(cells, before, strict=False)) if new != old), len(cells))
        same_note = before != [] and (before[0], before[-1]) == (row.protocol, row.score.note)
        note = [row.score.note if not same_note else ""] if with_notes else []
        shown.add_row(*([""] * same + cells[same:]), row.score.metric, _cell(row), *note)
        before = [*cells, row.score.note]
    return shown


def _several(rows: Sequence[Row]) -> tuple[str, ...]:
    """The title of the data column, which is shown only with several data sets."""
    return ("data",) if len({row.data for row in rows}) > 1 else ()


def _variant(row: Row) -> str:
    return row.score.split.partition("/")[2]


def _cell(row: Row | None) -> str:
    if row is None:
        return ""
    value, error = row.score.value, row.score.error
    return _number(value) if error is None else f"{_number(value)} ± {_number(error)}"


def _number(value: float) -> str:
    return f"{value:.1f}" if abs(value) >= 1 or value == 0 else f"{value:.2g}"


def _data(rows: Sequence[Row]) -> dict[str, tuple[str, str]]:
    return {row.data: (row.dataset, row.fingerprint) for row in rows}
