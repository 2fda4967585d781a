"""The loss of any plan: the one module that the loop, DistributedDataParallel and torch.compile see."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from augment.views import View
from methods.contract import AddOnLoss, Encoded, KeySource, Losses, Method, MomentumMethod, Pair, Plan

# Sources whose keys the method itself makes, through its `key` hook.
_OWN_KEYS: tuple[KeySource, ...] = ("target", "online", "codes")
_ONLINE_KEYS: tuple[KeySource, ...] = ("online", "prediction", "codes")


class Objective(nn.Module):
    """The loss of a method under a plan, add-ons included.

    Each view is encoded once per network that a pair or loss needs it from, and each key is made once, however many
    pairs share it. Every view is a separate pass, so batch-norm statistics are per view. `forward` changes only
    batch-norm statistics; all other state changes in `after_step`. Nothing waits for the device, and shapes are
    static.

    Args:
        method: has the networks and the loss of a pair; an nn.Module.
        plan: the method's own, or what add-ons made of it.
        addon_losses: losses added to the pairs', by add-on; nn.Modules.

    Raises:
        ValueError: if this method cannot follow the plan.
    """

    def __init__(self, method: Method, plan: Plan, addon_losses: Mapping[str, AddOnLoss]) -> None:
        super().__init__()
        _check(method, plan, addon_losses)
        self.method = method
        self.plan = plan
        self.addon_losses = nn.ModuleDict(addon_losses)  # pyright: ignore[reportArgumentType]: protocols are no classes
        keys: list[tuple[KeySource, str]] = [
            (pair.key_from, view) for pair in plan.pairs for view in (pair.key, *pair.negatives)
        ]
        self._keys = tuple(dict.fromkeys(keys))  # in order, each once
        online = {pair.query for pair in plan.pairs} | {view for source, view in keys if source in _ONLINE_KEYS}
        online = online.union(*(loss.views for loss in addon_losses.values()))
        target = {view for source, view in keys if source == "target"}
        self._online = tuple(view for view in plan.views if view in online)
        self._target = tuple(view for view in plan.views if view in target)

    @property
    def encoder(self) -> nn.Module:
        """The network that is exported."""
        return self.method.encoder

    def forward(
        self, views: Mapping[str, View], labels: Int64[Tensor, "B"] | None, progress: Float[Tensor, ""]
    ) -> Losses:
        """The losses of one step.

        Args:
            views: of one batch, by the plan's names.
            labels: of the batch; only pairs with `key_from="labels"` read them.
            progress: share of the budget done after this step, k / K in the k-th of K steps, 0-d, in (0, 1].

        Returns:
            The total; as parts every pair's unweighted `loss/<query>-<key>`, every add-on's `loss/<add-on>` with its
            parts, and the plan's schedules and measures; and the keys to hand to `after_step`.
        """
        online = {view: _full_precision(self.method.encode(views[view].images)) for view in self._online}
        target = self._encode_target(views)
        # Low precision is for the networks only: similarities divided by temperatures need full precision.
        with torch.autocast(views[self._online[0]].images.device.type, enabled=False):
            keys = {(source, view): self._key(source, view, online, target, labels) for source, view in self._keys}
            parts: dict[str, Tensor] = {}
            terms = []
            for pair in self.plan.pairs:
                negatives = [keys[pair.key_from, view] for view in pair.negatives]
                loss = self.method.pair_loss(online[pair.query], keys[pair.key_from, pair.key], negatives)
                terms.append(loss * _as(pair.weight_at(progress), loss))
                parts[f"loss/{pair.query}-{pair.key}"] = loss.detach()
            for name, addon_loss in self.addon_losses.items():
                added = addon_loss(views, online, target)
                terms.append(added.total)
                parts[f"loss/{name}"] = added.total.detach()
                parts |= {f"loss/{name}/{part}": value for part, value in added.parts.items()}
            parts |= {name: schedule(progress) for name, schedule in self.plan.schedules.items()}
            parts |= {name: measure(views) for name, measure in self.plan.measures.items()}
            total = torch.stack(terms).sum()
        own = {pair.key: keys[pair.key_from, pair.key] for pair in self.plan.pairs if pair.key_from in _OWN_KEYS}
        own |= {pair.key: online[pair.key].projection for pair in self.plan.pairs if pair.key_from == "codes"}
        if self.plan.enqueue_negatives:
            own |= {view: keys[pair.key_from, view] for pair in self.plan.pairs for view in pair.negatives}
        return Losses(total, parts, {view: key.detach() for view, key in own.items()})

    def after_step(self, progress: Float[Tensor, ""], keys: Mapping[str, Tensor]) -> None:
        """Update state that has no gradient; call it after the optimizer's step.

        Args:
            progress: of the next step, (k + 1) / K after the k-th of K steps; values above 1 count as 1.
            keys: `Losses.keys` of the step just done.
        """
        self.method.after_step(progress.clamp(max=1), keys)

    def parameter_groups(self) -> list[dict]:
        """The method's parameter groups, and one for the add-ons' own weights if they have any."""
        groups = self.method.parameter_groups()
        own = list(self.addon_losses.parameters())
        return [*groups, {"params": own}] if own else groups

    def _encode_target(self, views: Mapping[str, View]) -> dict[str, Encoded]:
        if not self._target:
            return {}
        assert isinstance(self.method, MomentumMethod)  # checked when the plan was
        return {view: _full_precision(self.method.encode_target(views[view].images)) for view in self._target}

    def _key(
        self,
        source: KeySource,
        view: str,
        online: Mapping[str, Encoded],
        target: Mapping[str, Encoded],
        labels: Tensor | None,
    ) -> Tensor:
        if source == "labels":
            if labels is None:
                raise ValueError("a pair takes its key from labels, but the data has none; choose a labelled data set")
            return labels
        if source == "prediction":
            return online[view].prediction.detach()
        return self.method.key(target[view] if source == "target" else online[view], view)


def _check(method: Method, plan: Plan, addon_losses: Mapping[str, AddOnLoss]) -> None:
    """Raises ValueError for the first thing in the plan that this method cannot do."""
    if not plan.pairs:
        raise ValueError("a plan must compare at least one pair of views")
    named = [view for pair in plan.pairs for view in (pair.query, pair.key, *pair.negatives)]
    named += [view for loss in addon_losses.values() for view in loss.views]
    _each_known(named, plan.views, "a pair or a loss names the view")
    _each_known([spec.parent for spec in plan.views.values() if spec.parent], plan.views, "a view names the parent")
    twice = [pair for i, pair in enumerate(plan.pairs) if _ends(pair) in map(_ends, plan.pairs[:i])]
    if twice:
        raise ValueError(f"each ordered pair of views may appear once, got {twice[0].query} -> {twice[0].key} twice")
    if any(pair.key_from == "target" for pair in plan.pairs) and not isinstance(method, MomentumMethod):
        raise ValueError(f"key_from='target' needs a method with encode_target, which {type(method).__module__} lacks")


def _ends(pair: Pair) -> tuple[str, str]:
    return pair.query, pair.key


def _each_known(names: Iterable[str], views: Mapping[str, object], who: str) -> None:
    for name in names:
        if name not in views:
            raise ValueError(f"{who} {name!r}, which the plan lacks; it has {', '.join(views)}")


def _full_precision(encoded: Encoded) -> Encoded:
    """The same in float32 where autocast gave less."""
    fields = {"features": encoded.features, "projection": encoded.projection, "prediction": encoded.prediction}
    low = (torch.bfloat16, torch.float16)
    return replace(encoded, **{name: t.float() if t.dtype in low else t for name, t in fields.items()})


def _as(weight: float | Tensor, like: Tensor) -> float | Tensor:
    """The weight in the loss's own precision, so that float64 progress does not widen a float32 loss."""
    return weight.to(like.dtype) if isinstance(weight, Tensor) else weight
