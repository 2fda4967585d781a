"""One number of a protocol."""

from dataclasses import dataclass

USUAL = "accuracy"  # the metric that names leave out


@dataclass(frozen=True)
class Score:
    """One number of a protocol.

    Args:
        split: of the data that was scored, such as `test/original`.
        metric: what was measured: `accuracy`, `mean_per_class`, `bg_gap`, ...
        value: in percent, unless the metric has no such unit.
        error: its standard error, in the unit of the value, or None if it has none.
        count: images, pairs or episodes behind it.
        note: settings that a reader needs to know, such as `k=160, T=0.1`.
    """

    split: str
    metric: str
    value: float
    error: float | None
    count: int
    note: str = ""
