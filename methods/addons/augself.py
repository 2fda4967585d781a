"""AugSelf: heads predict from features how the augmentations of two views differ, so that features keep it."""

from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from pkgutil import iter_modules
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import ConfigDict, Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss

from augment import ops
from augment.config import Config as BaseConfig
from augment.views import Step, Target, View
from methods.contract import Encoded, Losses, Plan

# By the source of a method's keys, what a weight is multiplied by so that it means the same as in the official code: of
# SwAV's two predictions that code adds the losses, where `methods.swav`, as SwAV's own code, takes their mean.
_SHARES: Mapping[str, float] = {"codes": 0.5}

Weight = Annotated[float, Field(ge=0)]


class Config(BaseConfig):
    """What is predicted, and its weight next to the method's loss; a weight of 0 makes no head.

    Args:
        crop: weight of centre and size of the box.
        color_jitter: weight of brightness, contrast, saturation and hue.
        flip: weight of whether both views are flipped alike.
        blur: weight of the blur's sigma.
        rotate: weight of the quarter turns between the views.
        solarize: weight of the threshold.
        hidden: width of both hidden layers of every head.

    Any other op that declares a `TARGET_WIDTH` may be named too, with its weight, under the name that recipes use.

    Source: AugSelf's official code predicts crop and color with weight 1.0 on STL-10 and 0.5 on ImageNet-100, the same
        for every method. Losses of methods differ in size (BYOL's is up to 4 in each direction, SimSiam's at most 1),
        so equal weights do not mean equal shares. Over SwAV, a weight is halved before it is applied, since the
        official code adds the losses of SwAV's two predictions and ours takes their mean: the same weight gives AugSelf
        the same share of the loss as there.
    """

    crop: Weight = 1.0
    color_jitter: Weight = 1.0
    flip: Weight = 0.0
    blur: Weight = 0.0
    rotate: Weight = 0.0
    solarize: Weight = 0.0
    hidden: int = Field(512, ge=1, le=16384)

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Weight]  # pyright: ignore[reportIncompatibleVariableOverride]

    @model_validator(mode="after")
    def _require_ops(self) -> "Config":
        known = [entry.name for entry in iter_modules(ops.__path__)]
        for name in self.__pydantic_extra__:
            if "." not in name and name not in known:
                nearest = get_close_matches(name, [*type(self).model_fields, *known], n=1)
                raise ValueError(f"unknown key {name}" + (f"; did you mean {nearest[0]}?" if nearest else ""))
        return self


def rewrite(plan: Plan, config: Config) -> Plan:
    """The plan unchanged, or with a second view if the method has a single one, as supervised.

    That second view, `<view>_again`, is drawn like the first and encoded only for AugSelf: the labels' loss stays on
    the first view, so that the add-on changes nothing else.

    Args:
        plan: of any method, before or after other add-ons.
        config: of the weights.

    Raises:
        ValueError: if a view lacks an op that is to be predicted, or is cropped after it was flipped or rotated.

    Source: arXiv 2111.09613 lays AugSelf over supervised training too, but no code of that was published.
    """
    weights = _weights(config)
    if not weights:
        return plan
    first, second = _compared(plan)
    if second not in plan.views:
        plan = replace(plan, views={**plan.views, second: plan.views[first]})
    for op in weights:
        for view in (first, second):
            _require_comparable(op, view, _steps(plan, view))
    return plan


def _require_comparable(op: str, view: str, steps: Mapping[str, Step]) -> None:
    """Reject an op whose parameters cannot be compared between views that are made by these steps."""
    made = list(steps)
    if op not in steps:
        raise ValueError(
            f"addons.augself.{op} > 0 needs {op} in a recipe of view {view!r}, which has {', '.join(made)}; "
            "add it there or set the weight to 0"
        )
    if not hasattr(steps[op].op, "TARGET_WIDTH"):
        raise ValueError(
            f"addons.augself.{op} > 0 needs an op that declares TARGET_WIDTH, which {op} does not; set the weight to 0"
        )
    earlier = [name for name in made[: made.index(op)] if getattr(steps[name].op, "REORIENTS", False)]
    if getattr(steps[op].op, "UPRIGHT", False) and earlier:
        raise ValueError(
            f"addons.augself.{op} > 0 needs {op} before {' and '.join(earlier)}, got {', '.join(made)} in view "
            f"{view!r}: it can be compared only in the source image's orientation"
        )


class Loss(nn.Module):
    """One head per augmentation predicts the difference of its parameters from the features of both views.

    The views are those of the plan's first pair of different views that are of equal size and are finished, so that no
    view goes on from them: the method's own two views, MSR's aggressive children, SwAV's full-size views. Both orders
    of the two are predicted, in one batch of 2B rows, so that the heads' batch-norm sees both. Features are the
    encoder's, before any projector; where the plan makes a view's key with the momentum twin and never encodes it
    online (MoCo v2 in one direction), they are the twin's, without gradient.

    Args:
        config: of weights and heads.
        num_features: of the encoder.
        plan: as all add-ons left it.

    Source: arXiv 2111.09613 and its official code: heads, losses and targets (each op's `compare`) are the code's, but
        for two bugs. It compares blurs by sigma in pixels, up to 2 apart, with a tanh, which ends at 1; here sigmas
        count as shares of the largest. Its solarize target of shape (2B,) broadcasts against a prediction of (2B, 1),
        which leaves no signal; here shapes agree. Nothing is masked: where an op was not applied, its identity counts.
        Its saturation is kornia's factor on the saturation of HSV, ours is torchvision's blend with the luma: for the
        same factor, and so for the same target, the two images differ by 3.8/255 on average.
    """

    def __init__(self, config: Config, num_features: int, plan: Plan) -> None:
        super().__init__()
        self._weights = _weights(config)
        self._share = min(_SHARES.get(pair.key_from, 1.0) for pair in plan.pairs)
        self._pair = _compared(plan)
        steps = _steps(plan, self._pair[0]) if self._weights else {}
        self._ops = {op: steps[op].op for op in self._weights}
        # nn.Module does not allow dots in the names of submodules; a user's own op has one.
        self.heads = nn.ModuleDict(
            {_plain(op): _head(2 * num_features, config.hidden, made.TARGET_WIDTH) for op, made in self._ops.items()}
        )
        keys_of_the_twin = {pair.key for pair in plan.pairs if pair.key_from == "target"}
        self.views = tuple(view for view in self._pair if self._weights and view not in keys_of_the_twin)

    def forward(
        self, views: Mapping[str, View], online: Mapping[str, Encoded], target: Mapping[str, Encoded]
    ) -> Losses:
        """The weighted sum, halved over SwAV, and each augmentation's own loss, without its weight, as a part."""
        if not self._weights:
            return Losses(next(iter(views.values())).images.new_zeros(()))
        first, second = ((online.get(view) or target[view]).features for view in self._pair)
        both_orders = torch.cat((torch.cat((first, second), dim=1), torch.cat((second, first), dim=1)))  # (2B, 2D)
        params = [views[view].params for view in self._pair]
        losses = {}
        for op, made in self._ops.items():
            there, back = made.compare(*params), made.compare(*reversed(params))
            wanted = Target(torch.cat((there.values, back.values)), there.kind)
            losses[op] = score(self.heads[_plain(op)](both_orders), wanted)
        total = torch.stack([weight * losses[op] for op, weight in self._weights.items()]).sum()
        return Losses(self._share * total, {op: loss.detach() for op, loss in losses.items()})


def score(prediction: Float[Tensor, "B d"], target: Target) -> Float[Tensor, ""]:
    """How far a head's output is from what it should predict; the mean over rows and numbers.

    Args:
        prediction: a head's output, of any size.
        target: differences in [-1, 1], which a tanh of the output must meet (mean squared error); flags, of which the
            output is the logit; or classes, of which it is the logits (cross-entropy both).

    Source: AugSelf's official code.
    """
    if target.kind == "classes":
        return cross_entropy(prediction, target.values)
    values = target.values.to(prediction.dtype)
    if target.kind == "binary":
        return binary_cross_entropy_with_logits(prediction, values)
    return mse_loss(torch.tanh(prediction), values)


def _weights(config: Config) -> dict[str, float]:
    """The positive weights, by op."""
    return {op: weight for op, weight in config.model_dump(exclude={"hidden"}).items() if weight > 0}


def _compared(plan: Plan) -> tuple[str, str]:
    """The two views whose augmentations are compared; the second is new where a method has one only."""
    parents = {spec.parent for spec in plan.views.values() if spec.after is None}  # else they go on on their own
    for pair in plan.pairs:
        alike = plan.views[pair.query].size == plan.views[pair.key].size
        if pair.query != pair.key and alike and parents.isdisjoint((pair.query, pair.key)):
            return pair.query, pair.key
    only = plan.pairs[0].query
    if plan.views[only].parent is not None:
        raise ValueError(f"augself needs two views with crops of their own, got {only!r} alone, a child")
    return only, f"{only}_again"


def _steps(plan: Plan, view: str) -> dict[str, Step]:
    """The steps that make a view in order, by op."""
    return {step.name: step for recipe in _recipes(plan, view) for step in plan.recipes.get(recipe, ())}


def _plain(op: str) -> str:
    return op.replace(".", "_")


def _recipes(plan: Plan, view: str) -> list[str]:
    """The recipes that make a view, in order, its ancestors' first."""
    spec = plan.views[view]
    inherited = [] if spec.parent is None else _recipes(plan, spec.parent)
    if spec.after is not None:
        inherited = inherited[: inherited.index(spec.after) + 1]
    return [*inherited, *spec.recipe]


def _head(num_inputs: int, num_hidden: int, num_outputs: int) -> nn.Sequential:
    """Two hidden layers, whose biases are their norms', and a linear output with one; `mlp` has them the other way."""
    layers: list[nn.Module] = []
    for width in (num_inputs, num_hidden):
        layers += [nn.Linear(width, num_hidden, bias=False), nn.BatchNorm1d(num_hidden), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Linear(num_hidden, num_outputs))
