"""Trainings for several ranks to share, and what they have afterwards; `test_workers` compares it with one rank's."""

import itertools
from errno import ENOSPC
from typing import Any

import torch

from methods.parts.gather import average, rank
from orchestrator.config.run import RunConfig
from orchestrator.probing import features
from orchestrator.study.checks import check_run
from orchestrator.training import assembly, ranks
from tests.orchestrator.tiny_run import Surroundings, timeless, tiny_run
from tests.orchestrator.training import tiny_encoder
from tests.orchestrator.training.test_every_combination import HEADS, KNOWN, LAYERS, METHODS, RECIPES, REFUSED

BATCH, STEPS = 12, 5
# Queues are written round: at least 60 keys come in five steps.
QUEUES = {
    "moco_v2": {"queue_size": 28},
    "symmetric moco_v2": {"queue_size": 28},
    "swav": {"queue_size": 28, "queue_start": 0.2, "freeze": 0.0},
}
CHANCES = {"p_query": 0.7, "p_key": 0.7, "p_negative": 0.7}
# Every layer of `test_every_combination` is in one of these, as far as it fits; a newcomer comes by itself.
LAYER_SETS: dict[str, dict[str, dict[str, Any]]] = {
    "MSR, all six heads, swaps": {
        "msr": {},
        "augself": {"hidden": 16, **HEADS},
        "background": {"kind": "swap", "enqueue": True, **CHANCES},
    },
    "AugSelf, removed backgrounds": {"augself": {"hidden": 16}, "background": {"kind": "remove", **CHANCES}},
    "random backgrounds": {"background": {"kind": "random", **CHANCES}},
}
KNOWN_METHODS = {method for method, _ in KNOWN}
LAYER_SETS |= {name: layer for name, layer in LAYERS.items() if name in layer}


def all_in_float64() -> None:
    """Everything from bytes on, in this process: in float32 an image's view depends on how many others are made."""
    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = torch.Tensor.double


def run_of(method: str, layers: dict[str, dict[str, Any]], **sections: Any) -> RunConfig:
    """A run of some layers, those left out that the method refuses."""
    background = dict(layers.get("background", {}))
    if (method, "matched negatives") in REFUSED:
        background["p_negative"] = 0.0
    if "moco_v2" not in method:
        background["enqueue"] = False
    kept = {name: settings for name, settings in layers.items() if name != "msr" or (method, "MSR") not in REFUSED}
    return tiny_run(
        **{
            "method": {**METHODS[method], **QUEUES.get(method, {})},
            "addons": kept | ({"background": background} if "background" in kept else {}),
            "augment": {"recipes": RECIPES},
            "training": {"batch_size": BATCH, "precision": "fp32", "checkpoint_steps": 1},
            "evaluation": {},
            **sections,
        }
    )


def runs() -> dict[str, RunConfig]:
    """Every method under every set of layers."""
    made = {}
    for method, (name, layers) in itertools.product(METHODS, LAYER_SETS.items()):
        run = run_of(method, layers).model_copy(update={"encoder": tiny_encoder.Config()})
        known = method in KNOWN_METHODS and name not in LAYERS
        if known or not check_run(run):  # a newcomer may be refused
            made[f"{method}, {name}"] = run
    return made


def after_five_steps() -> dict[str, dict[str, Any]]:
    """What every run has then: the losses of each step, the last gradients, and whatever the objective holds."""
    all_in_float64()
    found = {}
    for name, run in runs().items():
        training = assembly.training(run, assembly.load_data(run), torch.device("cpu"))
        losses = {}
        for step in range(STEPS):
            given = training.train_step(torch.arange(BATCH) * 5 + step, 1)
            parts = {"total": given.total.detach(), **given.parts}
            losses |= {f"{part} of step {step}": average(value.double()) for part, value in parts.items()}
        weights = training.objective.named_parameters()
        gradients = {name: weight.grad for name, weight in weights if weight.requires_grad}
        found[name] = {"losses": losses, "gradients": gradients, "state": training.objective.state_dict()}
    return found


def whole_training(saved: bytes | None, keep: int) -> dict[str, Any]:
    """A training from a checkpoint or the start to its end: its reports, and the checkpoint of some step."""
    all_in_float64()
    features.CHUNK = 16  # validation has 40 images: three chunks
    run = run_of("symmetric moco_v2", {"augself": {"hidden": 16}}, evaluation={"knn": {}, "linear": {}, "collapse": {}})
    surroundings = Surroundings(saved)
    assembly.train(run, assembly.load_data(run), surroundings)
    return {
        "events": surroundings.events,
        "reports": timeless(surroundings.reports),
        "state": surroundings.states.get(keep),
    }


def troubles() -> dict[str, str]:
    """What each rank of two says of what befell one of them."""
    run = run_of("byol", {})
    data = assembly.load_data(run)
    said = {}

    def hear(name: str, run: RunConfig = run, surroundings: Surroundings | None = None) -> None:
        try:
            assembly.train(run, data, surroundings or Surroundings())
        except Exception as error:
            said[name] = f"{type(error).__name__}: {error}"

    hear("odd batch", run_of("byol", {}, training={"batch_size": 13}))
    hear("disk full", surroundings=FullDisk())
    poisoned, assembly.objective = assembly.objective, _poisoned_on_rank_1
    hear("not finite")
    assembly.objective = poisoned
    objective = assembly.objective(run)
    ranks.require_agreement(objective)
    if rank() == 1:
        objective.encoder.conv1.weight.data[0, 0, 0, 0] += 1e-6
    try:
        ranks.require_agreement(objective)
    except RuntimeError as error:
        said["drifted"] = str(error)
    if rank() == 0:
        hear("alone")  # rank 1 is gone
    return said


class FullDisk(Surroundings):
    """A disk that takes no checkpoint."""

    def save_checkpoint(self, state: dict) -> None:
        raise OSError(ENOSPC, "No space left on device")


_build_objective = assembly.objective


def _poisoned_on_rank_1(run: RunConfig) -> torch.nn.Module:
    """An objective whose first loss is no number, on one rank."""
    objective = _build_objective(run)

    def poison(module: torch.nn.Module, inputs: Any, losses: Any) -> None:
        losses.total.data.mul_(torch.nan)

    if rank() == 1:
        objective.register_forward_hook(poison)
    return objective
