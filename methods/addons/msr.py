"""MSR: aggressive views learn from weak ones, and less and less from each other."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from augment.config import Config as BaseConfig
from augment.config import Probability
from augment.views import ViewSpec
from methods.contract import KeySource, Pair, Plan, Weight

Schedule = Literal["constant", "linear", "cosine", "step", "exponential"]

# Where the key of another aggressive view comes from, by where the method takes its keys from.
_PEER_KEYS: Mapping[KeySource, KeySource] = {"target": "prediction", "online": "online"}


class Config(BaseConfig):
    """How much aggressive views learn from each other, over the training.

    Args:
        base_weight: b at the start: the weight of aggressive-aggressive pairs; aggressive-weak pairs weigh 1 - b.
        schedule: how b moves; every schedule starts at `base_weight`, and `linear`, `cosine` and `step` end at 0.
        steps: only for `step`: the number of equal drops, evenly spaced inside the budget.
        decay_rate: only for `exponential`: b falls as exp(-decay_rate * progress).

    Source: arXiv 2206.01999: base weight 0.3 for CIFAR and 0.4 for larger images, cosine; the paper compares it with
        constant only, the other schedules are ours.
    """

    base_weight: Probability = 0.3
    schedule: Schedule = "cosine"
    steps: int = Field(2, ge=1)
    decay_rate: float = Field(3.0, gt=0)


def weight(config: Config, progress: Float[Tensor, ""]) -> Float[Tensor, ""]:
    """The weight b of aggressive-aggressive pairs.

    Args:
        config: names the schedule.
        progress: share of the budget done, in [0, 1]; k / K in the forward pass of step k (1-based) of K.

    Returns:
        b in [0, base_weight]; 0-d.

    Source: cosine: arXiv 2206.01999, equation 6, whose code also counts from 1 to K, so that the last b is 0.
    """
    return config.base_weight * _remaining(config, progress)


def _remaining(config: Config, progress: Tensor) -> Tensor:
    """The share of the base weight that is left, from 1."""
    match config.schedule:
        case "constant":
            return torch.ones_like(progress)
        case "linear":
            return 1 - progress
        case "cosine":
            return (torch.cos(math.pi * progress) + 1) / 2
        case "step":
            # `steps` drops cut the budget into steps + 1 equal parts; at progress 1 the last part goes on.
            drops = torch.floor(progress * (config.steps + 1)).clamp(max=config.steps)
            return 1 - drops / config.steps
        case "exponential":
            return torch.exp(-config.decay_rate * progress)


def rewrite(plan: Plan, config: Config) -> Plan:
    """Split every view into a weak parent and its aggressive child, and every pair into two.

    A pair q -> k of weight w becomes two: aggressive q -> weak k of weight (1 - b) w, with the method's own key, and
    aggressive q -> aggressive k of weight b w. All pairs stay between different crops: no view is compared with its own
    parent. Over a method with a twin the second key is the detached prediction of the other aggressive view, which its
    pass as a query has made already, so a step costs what the method alone costs: two online passes and two of the
    twin. (Over MoCo v2 in one direction the other view is no query: one online pass more. The queue keeps weak keys.)
    Without a twin weak views pass through the online network too, four passes in all: over SimCLR all keys keep their
    gradient; over SimSiam all are projections without gradient, as SimSiam's own keys must be to prevent collapse.

    Args:
        plan: of a method whose views all end with the recipe `aggressive`.
        config: of the weight b.

    Returns:
        The plan with weak views under their old names and children named `<view>_aggressive`, and b as `msr/weight`.

    Raises:
        ValueError: if keys are codes or labels, so that there is no view to be weak, or views have no aggressive part.

    Source: arXiv 2206.01999, equations 2 to 6. The stop-gradient on aggressive-aggressive keys is the official code's;
        equation 5 is silent, and without it the gradient of b's terms would be twice as large.
    """
    views = {}
    for name, spec in plan.views.items():
        if len(spec.recipe) < 2 or spec.recipe[-1] != "aggressive":
            raise ValueError(f"msr needs views whose recipe ends in 'aggressive', got {list(spec.recipe)} for {name!r}")
        views[name] = replace(spec, recipe=spec.recipe[:-1])
        views[_child(name)] = ViewSpec(spec.recipe[-1:], parent=name, size=spec.size)

    def aggressive(progress: Tensor) -> Tensor:
        return weight(config, progress)

    def weak(progress: Tensor) -> Tensor:
        return 1 - weight(config, progress)

    pairs = []
    for pair in plan.pairs:
        if pair.key_from not in _PEER_KEYS:
            raise ValueError(
                f"msr needs keys made from a weak view, but this method's are {pair.key_from}; drop addons.msr"
            )
        query = _child(pair.query)
        pairs.append(Pair(query, pair.key, _times(pair, weak), pair.key_from, pair.negatives))
        peers = tuple(_child(view) for view in pair.negatives)
        pairs.append(Pair(query, _child(pair.key), _times(pair, aggressive), _PEER_KEYS[pair.key_from], peers))
    return replace(plan, views=views, pairs=pairs, schedules={**plan.schedules, "msr/weight": aggressive})


def _child(view: str) -> str:
    return f"{view}_aggressive"


def _times(pair: Pair, share: Weight) -> Weight:
    """The pair's weight times a share of it."""
    return lambda progress: pair.weight_at(progress) * share(progress)
