"""Background augmentations: another background behind the same foreground, so that features do not rely on it."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from augment import boxes
from augment.borrowing import Geometry, visible
from augment.config import Config as BaseConfig
from augment.config import Probability
from augment.ops import background, foreground
from augment.separation import Config as Separation
from augment.views import Step, View, ViewSpec
from methods.contract import Measure, Plan

Side = Literal["query", "key"]

# The whole image as it is.
_UNMOVED = Geometry(box=boxes.Config(scale=(1.0, 1.0), ratio=(1.0, 1.0)), flip=0.0)


class Config(BaseConfig):
    """What is put behind the foregrounds, how often, and which negatives queries get.

    Args:
        kind: `remove` puts one colour (BG_RM), `random` and `swap` another image's background, drawn for each view
            apart; `remove` and `swap` (BG_Swaps) also have matched negatives, `random` (BG_Random) none.
        p_query: probability for a view that is first of all a query, or the only one of its image.
        p_key: probability for a view that is first of all a key. A symmetric method takes each view for both: its first
            view has `p_query`, its second `p_key`.
        p_negative: probability that the further negative of a query is matched: another image's foreground before the
            query's background; otherwise it is that other image as it is. 0 makes none. Only with `remove` and `swap`.
        negative: how it is matched, see `augment/ops/foreground.py`.
        enqueue: whether a method's queue takes matched negatives too, so that later queries must differ from them;
            otherwise one is a negative of its own query alone.
        order: `after_crop`: foreground and background are cropped and flipped independently; `before_crop`: together,
            as one image; `area` then applies to the whole image, and `background/left_alone` is not logged.
        colour: only with `remove`: the data set's `mean` (0 after normalisation), `grey` or `black`.
        shared_coin: whether the views of an image toss one coin together, or each its own.
        small_views: whether views smaller than the largest ones get other backgrounds too.
        separation: how masks are read and backgrounds completed.

    Source: arXiv 2103.12719: 0.1 to 0.3 is a good probability, and always is harmful; which one for which view is not
        known, nor are colour, coins, order, the negative's formula, whether it is enqueued, and what is done with
        SwAV's small views.
    """

    kind: Literal["remove", "random", "swap"] = "random"
    p_query: Probability = 0.2
    p_key: Probability = 0.2
    p_negative: Probability = 0.2
    negative: Literal["paste", "fill"] = "paste"
    enqueue: bool = False
    order: Literal["after_crop", "before_crop"] = "after_crop"
    colour: Literal["mean", "grey", "black"] = "mean"
    shared_coin: bool = False
    small_views: bool = False
    separation: Separation = Field(default_factory=Separation)


def rewrite(plan: Plan, config: Config) -> Plan:
    """Put other backgrounds into every view made from a source image, and add matched negatives to every query.

    A background comes after what moves the image (or first of all) and before the recipe `aggressive`, whose colours
    then fall on both alike. Views that start from another one share its background, so with `msr` an aggressive view
    has its weak parent's, and the order in which the two add-ons are listed does not matter. What is borrowed is
    cropped and flipped by the same settings as the view itself, or with it.

    A matched negative leaves its query's view behind the background and goes on as the pair's key does, with draws of
    its own; its key is made as the pair's is.

    Args:
        plan: of any method; its recipes tell how views are cropped and flipped.
        config: what, and how often.

    Returns:
        The plan with a recipe `background/<view>` for each view that is changed, further views `<view>_negative`, and
        the share of views whose foreground is too small or too large for a change as `background/left_alone`.

    Raises:
        ValueError: if negatives are wanted of a method that has none, or in a queue that it does not have; or if
            colours change before the background does, and would tell what has been pasted.

    Source: arXiv 2103.12719; the ops' docstrings tell what is not known of it.
    """
    matched = config.kind != "random" and config.p_negative > 0
    if matched and not plan.contrastive:
        raise ValueError(
            "background's matched negatives need a method that compares with other images, and this one does not: set "
            "addons.background.p_negative to 0, or kind to random"
        )
    if matched and config.enqueue and not plan.queued:
        raise ValueError(
            "addons.background.enqueue = true needs a method with a queue of keys, as moco_v2, and this one has none: "
            "set it to false"
        )
    needed = {_root(pair.query, plan) for pair in plan.pairs} if matched else set()
    _require_colours_later(plan, config)
    chances = {"query": config.p_query, "key": config.p_key}
    shown = {name: chances[side] for name, side in _sides(plan, config).items() if chances[side] > 0 or name in needed}
    views = {name: _with_step(name, spec, config) if name in shown else spec for name, spec in plan.views.items()}
    recipes = {_recipe(name): [_behind(config, p, _geometry(name, plan, config))] for name, p in shown.items()}
    counted = shown and config.order == "after_crop"  # a finished view has no whole mask to tell from
    measures = {"background/left_alone": _left_alone(list(shown), config.separation.area)} if counted else {}
    changed = replace(
        plan,
        views=views,
        recipes={**plan.recipes, **recipes},
        measures={**plan.measures, **measures},
        separation=config.separation,
        enqueue_negatives=matched and config.enqueue,
    )
    return _with_negatives(changed, config, needed & shown.keys())


def _require_colours_later(plan: Plan, config: Config) -> None:
    for spec in plan.views.values():
        for recipe in spec.recipe[: _place(spec.recipe, config)] if spec.parent is None else ():
            early = [step.name for step in plan.recipes.get(recipe, ()) if getattr(step.op, "PHOTOMETRIC", False)]
            if early:
                raise ValueError(
                    f"addons.background comes before colours change, and recipe {recipe} has {early[0]}: move it to "
                    "the recipe aggressive, or set addons.background.order to before_crop"
                )


def _root(view: str, plan: Plan) -> str:
    """The view made from a source image that a view goes back to."""
    while (parent := plan.views[view].parent) is not None:
        view = parent
    return view


def _sides(plan: Plan, config: Config) -> dict[str, Side]:
    """The views that may get another background, and what each of them is first of all."""
    sides: dict[str, Side] = {}
    for pair in plan.pairs:
        sides.setdefault(_root(pair.query, plan), "query")
        sides.setdefault(_root(pair.key, plan), "key")
    roots = {name: math.inf if spec.size is None else spec.size for name, spec in plan.views.items() if not spec.parent}
    largest = max(roots.values())
    return {name: sides.get(name, "query") for name, size in roots.items() if size == largest or config.small_views}


def _recipe(view: str) -> str:
    return f"background/{view}"


def _place(recipe: Sequence[str], config: Config) -> int:
    """Where in a view's recipes another background belongs."""
    if config.order == "before_crop":
        return 0
    return recipe.index("aggressive") if "aggressive" in recipe else len(recipe)


def _with_step(name: str, spec: ViewSpec, config: Config) -> ViewSpec:
    place = _place(spec.recipe, config)
    return replace(spec, recipe=(*spec.recipe[:place], _recipe(name), *spec.recipe[place:]))


def _geometry(view: str, plan: Plan, config: Config) -> Geometry:
    """How what is borrowed is cropped and flipped: as the view itself, unless that comes later and to both."""
    geometry = _UNMOVED
    if config.order == "after_crop":
        for step in (step for recipe in plan.views[view].recipe for step in plan.recipes.get(recipe, ())):
            geometry = step.op.donor_geometry(step.config, geometry) if hasattr(step.op, "donor_geometry") else geometry
    return geometry


def _behind(config: Config, p: float, donor: Geometry) -> Step:
    plate = config.colour if config.kind == "remove" else "donor"
    area = config.separation.area
    settings = background.Config(plate=plate, p=p, shared_coin=config.shared_coin, area=area, donor=donor)
    return Step("background", background, settings)


def _left_alone(names: Sequence[str], area: tuple[float, float]) -> Measure:
    def measure(views: Mapping[str, View]) -> Tensor:
        masks = (views[name].masks for name in names)  # small views have small masks
        return 1 - torch.cat([visible(mask, *area) for mask in masks if mask is not None]).float().mean()

    return measure


def _with_negatives(plan: Plan, config: Config, queries: Collection[str]) -> Plan:
    """The plan with a matched negative for every pair whose query goes back to one of some views."""
    views, pairs = dict(plan.views), []
    for pair in plan.pairs:
        query = _root(pair.query, plan)
        if query in queries:
            negative = _like(pair.key, query, plan, views, config)
            pair = replace(pair, negatives=(*pair.negatives, negative))
        pairs.append(pair)
    recipes = {}
    for query in queries:
        settings = foreground.Config(
            matched=config.p_negative,
            cut=config.negative,
            area=config.separation.area,
            donor=_geometry(query, plan, config),
        )
        recipes[_recipe(_negative(query))] = [Step("foreground", foreground, settings)]
    return replace(plan, views=views, pairs=pairs, recipes={**plan.recipes, **recipes})


def _negative(query: str) -> str:
    return f"{query}_negative"


def _like(key: str, query: str, plan: Plan, views: dict[str, ViewSpec], config: Config) -> str:
    """Adds to `views` a negative for a query that is made as a key is, and gives its name."""
    spec = plan.views[key]
    if spec.parent is None:
        name = _negative(query)
        own = _recipe(key)
        place = spec.recipe.index(own) + 1 if own in spec.recipe else _place(spec.recipe, config)
        recipe = (_recipe(name), *spec.recipe[place:])
        views[name] = ViewSpec(recipe, parent=query, size=plan.views[query].size, after=_recipe(query))
        return name
    parent = _like(spec.parent, query, plan, views, config)
    name = parent + key.removeprefix(spec.parent)
    views[name] = replace(spec, parent=parent)
    return name
