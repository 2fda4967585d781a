"""One number of a protocol."""

from dataclasses import dataclass

USUAL = "accuracy"  # the metric that goes without saying


@dataclass(frozen=True)
class Score:
    """One number of a protocol.

    Args:
        split: of the data that was scored, such as `test/original`.
        metric: what was measured: `accuracy`, `mean_per_class`, `bg_gap`, ...
        value: in percent, unless the metric is none that can be.
        error: its standard error, in the unit of the value, or None where there is none.
        count: images, pairs or episodes behind it.
        note: what a reader must know of how it came about: `k=160, T=0.1`.
    """

    split: str
    metric: str
    value: float
    error: float | None
    count: int
    note: str = ""
