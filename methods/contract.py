"""What a method, an add-on and a loss are; read this module first.

A method declares a `Plan`: the views it needs and the pairs it compares. Add-ons rewrite it, and `Objective` runs it.

Several ranks may share a training. Hooks then see their rank's part of the batch, and gather what a loss or a buffer
needs from all ranks with `methods.parts.gather`. Losses are means over a part; batch-norm statistics cover all parts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn

from augment.separation import Config as Separation
from augment.views import Step, View, ViewSpec

# Share of the training budget done, a 0-d tensor in [0, 1], to a 0-d weight.
Weight = Callable[[Tensor], Tensor]
# The views of a batch, by name, to a 0-d tensor.
Measure = Callable[[Mapping[str, View]], Tensor]
KeySource = Literal["target", "online", "prediction", "codes", "labels"]


@dataclass(frozen=True)
class Pair:
    """One term of the loss: the query view must match the key view.

    Args:
        query: name of the view that goes through the online network.
        key: name of the view that gives the key.
        weight: of this term, a number or a function of progress.
        key_from: what makes the key: `target` the momentum encoder (no gradient), `online` the same network (the method
            decides about the gradient), `prediction` the online predictor's output (always detached), `codes` the
            method's own assignment of what the online network gives (SwAV), `labels` the data set.
        negatives: views whose keys, made in the same way, are extra negatives of this query: row i for row i.
    """

    query: str
    key: str
    weight: float | Weight = 1.0
    key_from: KeySource = "online"
    negatives: tuple[str, ...] = ()

    def weight_at(self, progress: Float[Tensor, ""]) -> float | Tensor:
        """The weight of this term when `progress` of the budget is done."""
        return self.weight(progress) if callable(self.weight) else self.weight


@dataclass(frozen=True)
class Plan:
    """The views a method needs, the pairs it compares, and what it logs.

    Args:
        views: by name; every name is also part of the view's random streams.
        pairs: at most one for each ordered pair of views.
        schedules: functions of progress to log with the losses, by metric name.
        measures: functions of the views to log with the losses, by metric name.
        recipes: steps by recipe: the user's, which are filled in after the method's `plan`, and add-ons' own
            (`<add-on>/<recipe>`).
        contrastive: whether queries are contrasted with other images, so that a pair may have further negatives.
        queued: whether they are contrasted with keys of past batches too, so that `after_step` may get more keys.
        enqueue_negatives: whether it also gets the further negatives.
        separation: how foreground and background are separated if a step needs it.
    """

    views: Mapping[str, ViewSpec]
    pairs: Sequence[Pair]
    schedules: Mapping[str, Weight] = field(default_factory=dict)
    measures: Mapping[str, Measure] = field(default_factory=dict)
    recipes: Mapping[str, Sequence[Step]] = field(default_factory=dict)
    contrastive: bool = False
    queued: bool = False
    enqueue_negatives: bool = False
    separation: Separation = field(default_factory=Separation)


@dataclass(frozen=True)
class Encoded:
    """The output of a network for one view.

    Args:
        features: the encoder's pooled output, what a user keeps, (B, D).
        projection: the projector's output, (B, P).
        prediction: the predictor's output, (B, P); equal to `projection` for methods without a predictor.
    """

    features: Float[Tensor, "B D"]
    projection: Float[Tensor, "B P"]
    prediction: Float[Tensor, "B P"]


@dataclass(frozen=True)
class Losses:
    """The result of one step.

    Args:
        total: the scalar to differentiate.
        parts: detached 0-d tensors to log, by name.
        keys: what a queue may store of the pairs' key views (and further negatives where the plan says so), detached,
            for `after_step`: the keys that the method made, or where they are codes, which age with what they were
            scored against, the projections behind them. They are this rank's; a queue takes those of all ranks.
    """

    total: Float[Tensor, ""]
    parts: Mapping[str, Tensor] = field(default_factory=dict)
    keys: Mapping[str, Tensor] = field(default_factory=dict)


class Encoder(nn.Module):
    """The network that is exported: `methods/encoders/<name>.py` defines `Config` and `build(config) -> Encoder`.

    It maps normalised images (B, 3, H, W) to pooled features (B, num_features). The file may also define
    `reference_code(config)`, lines of Python that make the same network in a public library. A class and no protocol,
    because a method needs an nn.Module with a width, and Python has no type for both. With `any_size` it
    accepts images of every size, and none is tried at startup.
    """

    num_features: int
    any_size: bool = False


@runtime_checkable
class Method(Protocol):
    """A self-supervised method: `methods/<name>.py` defines `Config`, `plan` and `Method(config, encoder)`.

    `plan(config) -> Plan` is a function of the module, called before any network is built: the views and pairs of the
    method as published, without add-ons. `Method` has the hooks below.
    """

    if TYPE_CHECKING:  # `isinstance` does not find submodules: since Python 3.12 it looks attributes up statically
        encoder: nn.Module

    def encode(self, images: Tensor) -> Encoded:
        """One pass of one view through the online network, with gradient."""
        ...

    def key(self, encoded: Encoded, view: str) -> Tensor:
        """The key of a view, called once per key view and step; detached where the method says so."""
        ...

    def pair_loss(self, query: Encoded, key: Tensor, negatives: Sequence[Tensor]) -> Tensor:
        """The scalar loss of one pair, its weight not yet applied."""
        ...

    def after_step(self, progress: Tensor, keys: Mapping[str, Tensor]) -> None:
        """Update state that has no gradient: momentum encoder, memory bank. `progress` is that of the next step."""
        ...

    def parameter_groups(self) -> list[dict]:
        """Parameter groups for the optimizer; a group may fix its own `lr_schedule: constant`."""
        ...


@runtime_checkable
class MomentumMethod(Method, Protocol):
    """A method with a momentum encoder, which pairs with `key_from="target"` need."""

    def encode_target(self, images: Tensor) -> Encoded:
        """One pass of one view through the momentum encoder, without gradient."""
        ...


@runtime_checkable
class AddOn(Protocol):
    """A layer over any method: `methods/addons/<name>.py` defines `Config`, `rewrite`, and `Loss` where it has one."""

    def rewrite(self, plan: Plan, config: object) -> Plan:
        """The plan with the add-on's views and pairs; raises ValueError where the add-on does not fit the plan."""
        ...


@runtime_checkable
class AddOnLoss(Protocol):
    """An add-on's own loss module, `Loss(config, num_features, plan)`, made for the plan as all add-ons left it.

    Args:
        views: the views whose online encoding the loss wants, encoded even if no pair needs them.
    """

    views: tuple[str, ...]

    def __call__(
        self, views: Mapping[str, View], online: Mapping[str, Encoded], target: Mapping[str, Encoded]
    ) -> Losses:
        """The total, weighted, and parts to log as `loss/<add-on>/<part>`; its keys are ignored.

        `online` and `target` hold the views that went through the network or its momentum encoder.
        """
        ...
