"""Every layer over every method: trained and of some effect, or refused before anything starts."""

import itertools
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from methods.contract import Losses
from orchestrator.config.run import RunConfig
from orchestrator.core.registry import names
from orchestrator.study.checks import check_run
from orchestrator.training import assembly
from orchestrator.training.loop import Training
from tests.orchestrator.tiny_run import tiny_run

# Networks that keep the suite quick; a method that is not listed is built as its defaults have it.
SMALL: dict[str, dict[str, Any]] = {
    "simclr": {"projector_hidden": 16, "projector_outputs": 8},
    "moco_v2": {"queue_size": 24, "projector_hidden": 16, "projector_outputs": 8},
    "byol": {"hidden": 16, "outputs": 8},
    "simsiam": {"outputs": 16, "bottleneck": 8},
    "swav": {"num_prototypes": 6, "projector_hidden": 16, "projector_outputs": 8, "small_views": 1, "small_size": 8},
    "supervised": {"num_classes": 4},
}
METHODS = {name: {"name": name, **SMALL.get(name, {})} for name in names("methods")}
METHODS["symmetric moco_v2"] = {**METHODS["moco_v2"], "symmetric": True}
HEADS = dict.fromkeys(("crop", "color_jitter", "flip", "blur", "rotate", "solarize"), 1.0)
ALWAYS = {"p_query": 1.0, "p_key": 1.0, "p_negative": 0.0}
MATCHED = {"p_query": 0.0, "p_key": 0.0, "p_negative": 1.0}
LAYERS: dict[str, dict[str, Any]] = {
    "MSR": {"msr": {}},
    "AugSelf": {"augself": {"hidden": 16}},
    "AugSelf, all six heads": {"augself": {"hidden": 16, **HEADS}},
    "BG_RM": {"background": {"kind": "remove", **ALWAYS}},
    "BG_Random": {"background": {"kind": "random", **ALWAYS}},
    "BG_Swaps": {"background": {"kind": "swap", **ALWAYS}},
    "BG_RM's matched negatives": {"background": {"kind": "remove", **MATCHED}},
    "matched negatives": {"background": {"kind": "swap", **MATCHED}},
}
KNOWN = set(itertools.product([*SMALL, "symmetric moco_v2"], LAYERS))  # a newcomer's cells may be refused or not
LAYERS |= {name: {name: {}} for name in names("methods.addons") if not any(name in layer for layer in LAYERS.values())}
REFUSED = {("swav", "MSR"), ("supervised", "MSR")} | {
    (method, layer)
    for method in ("byol", "simsiam", "swav", "supervised")
    for layer in LAYERS
    if layer.endswith("matched negatives")
}
CELLS = list(itertools.product(METHODS, LAYERS))
RECIPES = {
    "weak": {"crop": {}, "flip": {}, "rotate": {}},
    "small": {"crop": {"scale": [0.1, 0.4]}, "flip": {}},
    "aggressive": {"color_jitter": {}, "grayscale": {}, "blur": {}, "solarize": {}},
}
ROWS = torch.arange(16)


def run_of(method: str, addons: dict[str, Any]) -> RunConfig:
    return tiny_run(method=METHODS[method], addons=addons, augment={"recipes": RECIPES})


def training_of(run: RunConfig) -> Training:
    return assembly.training(run, assembly.load_data(run), torch.device("cpu"))


def first_step(training: Training) -> tuple[Losses, list[Tensor]]:
    """The losses of the first batch, and the encoder's gradient once the optimiser has used it."""
    losses = training.train_step(ROWS, 1)
    return losses, [parameter.grad for parameter in training.objective.encoder.parameters()]


@cache
def without_layers(method: str) -> tuple[Losses, list[Tensor]]:
    return first_step(training_of(run_of(method, {})))


@pytest.mark.parametrize(("method", "layer"), CELLS)
def test_cell_is_refused_as_the_table_says_or_trains_and_differs(method, layer):
    run = run_of(method, LAYERS[layer])
    mistakes = [mistake.law for mistake in check_run(run)]
    if (method, layer) in REFUSED or (mistakes and (method, layer) not in KNOWN):
        (mistake,) = mistakes
        assert METHODS[method]["name"] in mistake
        assert f"addons.{next(iter(LAYERS[layer]))}" in mistake
        return
    assert not mistakes
    training = training_of(run)
    losses, gradient = first_step(training)
    plain_losses, plain_gradient = without_layers(method)
    assert not torch.isclose(losses.total, plain_losses.total, rtol=1e-4, atol=0)
    assert distance(gradient, plain_gradient) > 1e-3
    _train_on(training)


@pytest.mark.parametrize("method", METHODS)
def test_all_layers_that_fit_train_together(method):
    layers = [layer for layer in ("MSR", "AugSelf", "BG_Swaps") if fits(method, layer)]
    addons = {name: settings for layer in layers for name, settings in LAYERS[layer].items()}
    if fits(method, "matched negatives"):
        addons["background"] = {**addons["background"], "p_negative": 1.0}
    _train_on(training_of(run_of(method, addons)))


def fits(method: str, layer: str) -> bool:
    return not check_run(run_of(method, LAYERS[layer]))


def _train_on(training: Training) -> None:
    before = [parameter.clone() for parameter in training.objective.encoder.parameters()]
    for _ in range(2):
        losses = training.train_step(ROWS, 1)
        assert all(torch.isfinite(part).all() for part in (losses.total, *losses.parts.values()))
    assert all(torch.isfinite(parameter).all() for parameter in training.objective.parameters())
    assert distance(list(training.objective.encoder.parameters()), before) > 0


def distance(ours: list[Tensor], others: list[Tensor]) -> float:
    """Relative, in the Euclidean norm."""
    one, other = (torch.cat([tensor.detach().flatten() for tensor in many]) for many in (ours, others))
    return float((one - other).norm() / other.norm())
