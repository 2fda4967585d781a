"""What a few repeated measurements say of their mean."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass

SHARE = 0.95  # of such intervals hold the true mean


@dataclass(frozen=True)
class Estimate:
    """A mean and how sure it is.

    Args:
        mean: of the measurements, None of none.
        ci95: half the width of its 95 % interval, None of fewer than two. Of paired differences it is also the smallest
            difference that could have been seen: one that is no larger cannot be told from none.
        n: how many measurements.
    """

    mean: float | None
    ci95: float | None
    n: int

    def dump(self) -> dict[str, float | int | None]:
        """As plain values."""
        return asdict(self)


def estimate(values: Sequence[float]) -> Estimate:
    """The mean of independent measurements with its interval by Student's t."""
    n = len(values)
    if n < 2:
        return Estimate(values[0] if values else None, None, n)
    return Estimate(statistics.fmean(values), t_quantile(n - 1) * statistics.stdev(values) / math.sqrt(n), n)


def t_quantile(freedom: int) -> float:
    """What the absolute value of Student's t stays below with probability `SHARE`.

    Args:
        freedom: degrees of freedom, at least 1.

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4, turned round by bisection.
    """
    low, high = 0.0, math.pi / 2
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if _probability(middle, freedom) < SHARE else (low, middle)
    return math.sqrt(freedom) * math.tan(low)


def _probability(angle: float, freedom: int) -> float:
    """That |t| is less than sqrt(freedom) tan(angle)."""
    odd = freedom % 2
    total, term = 0.0, math.cos(angle) if odd else 1.0
    for k in range(1, freedom // 2 + 1):
        total += term
        term *= math.cos(angle) ** 2 * (2 * k / (2 * k + 1) if odd else (2 * k - 1) / (2 * k))
    total *= math.sin(angle)
    return 2 / math.pi * (angle + total) if odd else total
