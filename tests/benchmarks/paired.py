"""Paired differences over seeds."""

import math

import numpy as np
from scipy import stats


def interval(differences: np.ndarray) -> tuple[float, float]:
    """The mean of paired differences, and the reach of its 95 % interval (Student's t), to either side."""
    reach = stats.t.ppf(0.975, len(differences) - 1) * differences.std(ddof=1) / math.sqrt(len(differences))
    return float(differences.mean()), float(reach)


def difference(differences: np.ndarray) -> str:
    """The same as text, with the reach, which is the smallest difference that the interval would tell from none."""
    mean, reach = interval(differences)
    return f"{mean:+.2f} [{mean - reach:+.2f}, {mean + reach:+.2f}], {reach:.2f}"
