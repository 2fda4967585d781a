"""What a suite found, for people."""

from collections.abc import Sequence

from rich.table import Table

from orchestrator import scores
from orchestrator.evaluating.runner import Evaluation, Row
from orchestrator.evaluating.suite import OWN
from orchestrator.running.wording import count

_SIDE_BY_SIDE = 4  # protocols that a table has room for


def heading(evaluation: Evaluation) -> str:
    """What the table is of."""
    return (
        f"{evaluation.subject.encoder.name}, on held-out tests: value ± standard error, in % where nothing else is said"
    )


def table(evaluation: Evaluation) -> Table:
    """A row for each thing that was tested and a column for each protocol, or a row for each score of many."""
    protocols = list(dict.fromkeys(row.protocol for row in evaluation.rows))
    if len(protocols) <= _SIDE_BY_SIDE:
        return _side_by_side(evaluation.rows, protocols)
    return _one_by_one(evaluation.rows)


def remarks(evaluation: Evaluation) -> str:
    """What must be known to read the table."""
    subject, lines = evaluation.subject, []
    notes = {row.protocol: row.score.note for row in reversed(evaluation.rows) if row.score.note}
    for protocol, seconds in evaluation.seconds.items():
        note = f"  {notes[protocol]}" if protocol in notes else ""
        lines.append(f"{protocol:<24} {seconds:7.1f} s{note}")
    lines.append(f"{'in all':<24} {sum(evaluation.seconds.values()):7.1f} s\n")
    lines += [f"Not measured: {one.protocol} on {one.data}: {one.reason}." for one in evaluation.unscored]
    lines.append(f"Encoder {subject.encoder.fingerprint[:16]}, frozen (the same hash before and after).")
    for name, (dataset, fingerprint) in _data(evaluation.rows).items():
        looks = scores.uses(subject.shelf.book, fingerprint)
        encoders = count(len({look["encoder"] for look in looks}), "encoder")
        whose = "This sweep's" if subject.trial and name == OWN else f"The {name}"
        lines.append(
            f"{whose} test set ({dataset} {fingerprint}) has been used {count(len(looks), 'time')}, on {encoders}."
        )
    lines.append("Whoever chooses by a test set makes it a validation set.")
    lines.append(f"The scores are in {subject.shelf.folder / 'test.json'}.")
    return "\n".join(lines)


def _side_by_side(rows: Sequence[Row], protocols: Sequence[str]) -> Table:
    shown = Table()
    several = len({row.data for row in rows}) > 1
    for title in [*(["data"] if several else []), "test"]:
        shown.add_column(title)
    for protocol in protocols:
        shown.add_column(protocol, justify="right", no_wrap=True)
    found = {(row.data, _tested(row), row.protocol): row for row in rows}
    for data, tested in dict.fromkeys((row.data, _tested(row)) for row in rows):
        cells = [_cell(found.get((data, tested, protocol))) for protocol in protocols]
        shown.add_row(*([data] if several else []), tested, *cells)
    return shown


def _one_by_one(rows: Sequence[Row]) -> Table:
    shown = Table("protocol", "data", "test")
    shown.add_column("score", justify="right", no_wrap=True)
    before = None
    for row in rows:
        if before is not None and before.protocol != row.protocol:
            shown.add_section()
        first = before is None or before.protocol != row.protocol
        shown.add_row(row.protocol if first else "", row.data, _tested(row), _cell(row))
        before = row
    return shown


def _tested(row: Row) -> str:
    """The variant, and the metric where it is not the usual one."""
    variant = row.score.split.partition("/")[2]
    return " ".join(part for part in (variant, "" if row.score.metric == "accuracy" else row.score.metric) if part)


def _cell(row: Row | None) -> str:
    if row is None:
        return ""
    value, error = row.score.value, row.score.error
    return _number(value) if error is None else f"{_number(value)} ± {_number(error)}"


def _number(value: float) -> str:
    return f"{value:.1f}" if abs(value) >= 1 or value == 0 else f"{value:.2g}"


def _data(rows: Sequence[Row]) -> dict[str, tuple[str, str]]:
    return {row.data: (row.dataset, row.fingerprint) for row in rows}
