"""Paired differences over seeds."""

import numpy as np

from orchestrator.search.intervals import estimate


def difference(differences: np.ndarray) -> str:
    """Format the mean, its 95 % interval, and the half-width: the smallest mean that would differ from zero."""
    mean, half_width = interval(differences)
    return f"{mean:+.2f} [{mean - half_width:+.2f}, {mean + half_width:+.2f}], {half_width:.2f}"


def interval(differences: np.ndarray) -> tuple[float, float]:
    """The mean of two or more differences, and the half-width of its 95 % interval."""
    found = estimate(differences.tolist())
    assert found.mean is not None
    assert found.ci95 is not None
    return found.mean, found.ci95
