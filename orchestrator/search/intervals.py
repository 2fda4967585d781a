"""Confidence intervals of the mean of a few measurements."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass

SHARE = 0.95  # of such intervals hold the true mean


@dataclass(frozen=True)
class Estimate:
    """A mean with its confidence interval.

    Args:
        mean: of the measurements, None if there are none.
        ci95: half the width of its 95 % interval, None for fewer than two measurements. A paired difference that is not
            larger is indistinguishable from zero.
        n: number of measurements.
    """

    mean: float | None
    ci95: float | None
    n: int

    def dump(self) -> dict[str, float | int | None]:
        """The fields as plain values."""
        return asdict(self)


def estimate(values: Sequence[float]) -> Estimate:
    """The mean of independent measurements with its interval from Student's t."""
    n = len(values)
    if n < 2:
        return Estimate(values[0] if values else None, None, n)
    return Estimate(statistics.fmean(values), t_quantile(n - 1) * statistics.stdev(values) / math.sqrt(n), n)


def t_quantile(freedom: int) -> float:
    """The value that the absolute value of Student's t stays below with probability `SHARE`.

    Args:
        freedom: degrees of freedom, at least 1.
    """
    from scipy.special import stdtrit  # here, since only a confirmation needs it

    return float(stdtrit(freedom, (1 + SHARE) / 2))
