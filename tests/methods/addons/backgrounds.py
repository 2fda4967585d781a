"""Plans of every method, and what the background add-on makes of them."""

import importlib
from dataclasses import replace

import torch

from augment.boxes import Config as Box
from augment.ops import color_jitter, crop, flip
from augment.pipeline import Pipeline
from augment.views import Step
from methods import byol, moco_v2, simclr, simsiam, supervised, swav
from methods.addons import background
from tests.augment.banks import batch_of

BOX = Box(scale=(0.3, 0.9))
RECIPES = {
    "weak": [Step("crop", crop, BOX), Step("flip", flip, flip.Config(p=0.4))],
    "small": [Step("crop", crop, Box(scale=(0.05, 0.2)))],
    "aggressive": [Step("color_jitter", color_jitter, color_jitter.Config())],
}
METHODS = {
    "simclr": simclr,
    "moco_v2": moco_v2,
    "byol": byol,
    "simsiam": simsiam,
    "swav": swav,
    "supervised": supervised,
}


def plan_of(name, **settings):
    if name == "supervised":
        settings = {"num_classes": 3, **settings}
    method = METHODS[name]
    return replace(method.plan(method.Config(**settings)), recipes=RECIPES)


def colour_step(op):
    module = importlib.import_module(f"augment.ops.{op}")
    return Step(op, module, module.Config())


def rewritten(name, *, method=None, **settings):
    return background.rewrite(plan_of(name, **(method or {})), background.Config(**settings))


def step(plan, view):
    """The settings of the background op of a view."""
    (found,) = plan.recipes[f"background/{view}"]
    return found.config


def views_of(plan, bank, rows=None):
    rows = torch.arange(len(bank.images)) if rows is None else rows
    pipeline = Pipeline(plan.views, plan.recipes, mean=(0.5,) * 3, std=(0.2,) * 3, seed=0)
    return pipeline(batch_of(bank, rows), rows, 2)
