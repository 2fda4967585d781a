"""TPE (tree-structured Parzen estimator): proposes what is likely among good trials and unlikely among the rest."""

import warnings
from typing import TYPE_CHECKING

from pydantic import Field

from augment.config import Config as BaseConfig
from orchestrator.search.samplers import Seeds

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler


class Config(BaseConfig):
    """When TPE begins to learn.

    Args:
        name: `tpe`.
        n_startup_trials: finished, enqueued ones included, before which it proposes random settings.
    """

    name: str = "tpe"
    n_startup_trials: int = Field(default=10, ge=1)


def sampler(config: Config, seeds: Seeds) -> "BaseSampler":
    """Optuna's TPE over all dimensions jointly; running trials count as bad, so that workers do not repeat each other.

    Source: Bergstra et al., "Algorithms for Hyper-Parameter Optimization" (2011); Falkner et al., arXiv 1807.01774,
        section 3 (multivariate).
    """
    from optuna.exceptions import ExperimentalWarning
    from optuna.samplers import TPESampler

    with warnings.catch_warnings():
        # Conditional dimensions need `group`; Optuna has called it experimental since 2.8.
        warnings.simplefilter("ignore", ExperimentalWarning)
        return TPESampler(
            seed=seeds.draw,
            n_startup_trials=config.n_startup_trials,
            multivariate=True,
            group=True,
            constant_liar=True,
        )
