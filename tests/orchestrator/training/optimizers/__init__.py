from collections.abc import Sequence

from torch.optim import Optimizer

from orchestrator.config.run import OptimizerSettings
from orchestrator.core.registry import find
from orchestrator.training import groups


def built(config: OptimizerSettings, params: Sequence[dict], batch_size: int = 256) -> Optimizer:
    """The optimizer of some settings as a training has it."""
    peak = groups.peak_rate(config, batch_size)
    return find("orchestrator.training.optimizers", config.name).build(config, groups.prepared(params, peak), peak)
