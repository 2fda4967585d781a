"""Settings for comparisons with an oracle: more, and odder ones, than anybody would write down, and always the same."""

import numpy as np

SEEDS = range(20)
_EDGES = (0.0, np.nextafter(1.0, 0.0))  # the first two seeds', in place of draws


def drawn(seed: int, **ranges: tuple[float, float]) -> dict[str, float]:
    """One number out of each range, small ones as likely as large ones.

    Seed 0 has the smallest of all of them, seed 1 the largest.

    Args:
        seed: one of `SEEDS`.
        ranges: smallest and largest number, both included, by name; two whole numbers give a whole number.
    """
    shares = np.random.default_rng(seed).random(len(ranges)) if seed >= len(_EDGES) else [_EDGES[seed]] * len(ranges)
    return {name: _at(float(share), *ends) for share, (name, ends) in zip(shares, ranges.items(), strict=True)}


def _at(share: float, low: float, high: float) -> float:
    """Where a share of the way from low to high leads on a logarithmic scale."""
    if isinstance(low, int) and isinstance(high, int):
        return low - 1 + int((high - low + 2) ** share)  # on a scale that begins at 1, so that 0 may be the lowest
    return low * (high / low) ** share
