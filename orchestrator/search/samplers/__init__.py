"""Samplers: what proposes the settings of the next trial, one module each.

A sampler's module defines `Config`, with its `name`, and `sampler(config, seeds)`, which returns an
`optuna.samplers.BaseSampler`. Optuna is imported in that function: `Config` is read before any search begins.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Seeds:
    """The seeds of one proposal. A sampler that keeps no other state proposes the same after any crash.

    Args:
        draw: derived from the sweep's seed, the trial's number and, for a parameter drawn alone, its name.
        sweep: the same for all trials, for a sequence in which trial n takes the n-th point.
    """

    draw: int
    sweep: int
