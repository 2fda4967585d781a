"""How a cost grows with a size: the exponent of a power law fitted to measurements, as a table and a plot."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from orchestrator.search.formatting import columns

TOLERANCE = 0.1  # of the exponent


@dataclass(frozen=True)
class Curve:
    """Cost as a function of size.

    Args:
        name: Name of the cost, with its unit.
        sizes: Sizes in ascending order, two or more.
        costs: Cost of each size, above 0.
    """

    name: str
    sizes: Sequence[float]
    costs: Sequence[float]

    @property
    def exponent(self) -> float:
        """Slope of a least-squares line through the logarithms."""
        return float(np.polyfit(np.log(self.sizes), np.log(self.costs), 1)[0])

    @property
    def fixed(self) -> float:
        """Intercept of a line through the costs, as a share of the smallest size's cost.

        The fit weighs relative errors equally. A fixed cost makes the exponent of linear growth smaller than 1.
        """
        costs = np.asarray(self.costs)
        design = np.stack([np.ones(len(costs)), np.asarray(self.sizes)], axis=1) / costs[:, None]
        return float(np.linalg.lstsq(design, np.ones(len(costs)))[0][0] / costs[0])

    @property
    def verdict(self) -> str:
        """Growth in words: linear, more or less than linear."""
        if self.exponent > 1 + TOLERANCE:
            return "MORE THAN LINEAR"
        return "linear" if self.exponent >= 1 - TOLERANCE else "less than linear"


def table(size: str, curves: Sequence[Curve]) -> str:
    """A table of curves over the same sizes, one per line."""
    rows = [[size, *(f"{number:g}" for number in curves[0].sizes), "exponent", "fixed", ""]]
    rows += [
        [curve.name, *map(_short, curve.costs), f"{curve.exponent:.2f}", f"{100 * curve.fixed:.0f} %", curve.verdict]
        for curve in curves
    ]
    return columns(rows)


def plot(file: Path, parts: dict[str, Sequence[Curve]]) -> None:
    """Plot every curve relative to its first cost, on logarithmic axes, with a line of linear growth."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(parts), 4), layout="constrained")
    for axes, (size, curves) in zip(figure.subplots(1, len(parts), squeeze=False)[0], parts.items(), strict=True):
        for curve in curves:
            axes.loglog(curve.sizes, np.asarray(curve.costs) / curve.costs[0], "o-", label=curve.name)
        axes.loglog(curves[0].sizes, np.asarray(curves[0].sizes) / curves[0].sizes[0], "k:", label="linear")
        axes.set(xlabel=size, ylabel="cost relative to the smallest size")
        axes.legend(fontsize="small")
    figure.savefig(file)


def _short(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"
