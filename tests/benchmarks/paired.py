"""Paired differences over seeds."""

import numpy as np

from orchestrator.search.intervals import estimate


def difference(differences: np.ndarray) -> str:
    """Their mean with its 95 % interval, and the reach of it, the smallest difference that it would tell from none."""
    mean, reach = interval(differences)
    return f"{mean:+.2f} [{mean - reach:+.2f}, {mean + reach:+.2f}], {reach:.2f}"


def interval(differences: np.ndarray) -> tuple[float, float]:
    """The mean of two or more differences, and half the width of its 95 % interval."""
    found = estimate(differences.tolist())
    assert found.mean is not None
    assert found.ci95 is not None
    return found.mean, found.ci95
