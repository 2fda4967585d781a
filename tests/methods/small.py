"""Networks and views small enough for float64 on one core."""

import sys
from collections.abc import Mapping
from types import ModuleType

import torch
from torch import Tensor, nn

from augment import draws
from augment.views import View
from methods import byol, moco_v2, simclr, simsiam, supervised, swav
from methods.contract import Plan
from methods.encoders import resnet
from methods.objective import Objective
from methods.parts import initial

ENCODER = resnet.Config(depth=8, stem="strided", width=0.25)


def simclr_method(seed: int = 0, **fields) -> simclr.Method:
    return made(simclr, seed, **{"projector_hidden": 12, "projector_outputs": 6, **fields})


def byol_method(seed: int = 0, **fields) -> byol.Method:
    return made(byol, seed, **{"hidden": 12, "outputs": 6, **fields})


def moco_method(seed: int = 0, **fields) -> moco_v2.Method:
    return made(moco_v2, seed, **{"projector_hidden": 12, "projector_outputs": 6, "queue_size": 16, **fields})


def simsiam_method(seed: int = 0, **fields) -> simsiam.Method:
    return made(simsiam, seed, **{"outputs": 12, "bottleneck": 6, **fields})


def supervised_method(seed: int = 0) -> supervised.Method:
    return made(supervised, seed, num_classes=3)


def swav_method(seed: int = 0, **fields) -> swav.Method:
    return made(swav, seed, **{"projector_hidden": 12, "projector_outputs": 6, "num_prototypes": 5, **fields})


def made(module: ModuleType, seed: int, **fields) -> nn.Module:
    config = module.Config(**fields)
    method = initialised(module.Method(config, resnet.build(ENCODER)), seed)
    method.settings = config
    return method


def plan(method: nn.Module) -> Plan:
    """The plan of a method made above."""
    return sys.modules[type(method).__module__].plan(method.settings)


def initialised(method: nn.Module, seed: int) -> nn.Module:
    """In float64, and with no norm at 0, so that every parameter has a gradient to compare."""
    initial.init_weights(method, seed)
    for module in method.modules():
        if isinstance(module, resnet.BasicBlock):
            nn.init.constant_(module.bn2.weight, 0.5)
    return method.double()


def perturbed_twin(method: nn.Module) -> nn.Module:
    """The twin off its starting point, where it equals the online network and mistakes would cancel."""
    for name, parameter in method.twin.named_parameters():
        parameter.data += 0.1 * draws.normal(5, name, parameter.shape)
    return method


def views_of(plan: Plan, batch: int = 6, size: int = 8, seed: int = 0) -> dict[str, View]:
    return {name: View(draws.normal(seed, f"view {name}", (batch, 3, size, size)).double()) for name in plan.views}


def at(progress: float) -> Tensor:
    return torch.tensor(progress, dtype=torch.float64)


def gradients(module: nn.Module) -> dict[str, Tensor | None]:
    return {name: parameter.grad for name, parameter in module.named_parameters()}


def train(
    objective: Objective, views: Mapping[str, View], *, steps: int, lr: float, labels: Tensor | None = None
) -> list[float]:
    """Plain gradient descent on one batch; the loss before each step."""
    losses = []
    for k in range(1, steps + 1):
        objective.zero_grad()
        result = objective(views, labels, at(k / steps))
        result.total.backward()
        losses.append(result.total.item())
        with torch.no_grad():
            for group in objective.parameter_groups():
                for parameter in group["params"]:
                    parameter -= lr * parameter.grad
        objective.after_step(at((k + 1) / steps), result.keys)
    return losses
