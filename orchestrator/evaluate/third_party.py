"""Encoders that were not trained here: torchvision's models, and what a user's function returns.

torchvision:resnet50                    with its default weights, fetched by torchvision
torchvision:resnet50@random             with initial weights, drawn like those of our own encoders
torchvision:resnet50@moco_v2_800ep.pth  with the weights of a file, behind any prefix; if it holds several networks,
                                        FILE#module.encoder_q. selects one
mylab.encoders:vicreg                   the `FrozenEncoder` that the function `vicreg()` of mylab/encoders.py returns
"""

import importlib
import re
from pathlib import Path
from typing import NamedTuple
from urllib.error import URLError

import numpy as np
import torch
from torch import nn
from torchvision import models
from torchvision.transforms import InterpolationMode

from methods.parts.initial import init_weights
from orchestrator.core.errors import UserError, named
from orchestrator.core.registry import suggest
from orchestrator.data.decoding import Interpolation
from orchestrator.data.imagenet_classes import LABEL_SPACE, NUM_CLASSES
from orchestrator.evaluate import weights
from orchestrator.probing.frozen import FrozenEncoder, at_rest

TORCHVISION = "torchvision:"
_MEAN, _STD, _SIZE = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 224  # the usual input of ImageNet models
_RANDOM = "random"
_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class _Weighed(NamedTuple):
    network: nn.Module
    head: str  # path of the classification layer
    size: int
    resize: int | None
    interpolation: Interpolation
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    classifies: bool  # whether its head was trained on ImageNet's classes


def is_published(name: str) -> bool:
    """Whether a name is `torchvision:...` or a function; the URL of a bucket or server has slashes after its colon."""
    return name.startswith(TORCHVISION) or _FUNCTION.fullmatch(name) is not None


def load(name: str, size: int | None) -> FrozenEncoder:
    """A third-party encoder, frozen, on the device that measures it.

    Args:
        name: see the module docstring.
        size: of its images in pixels, or None for the size of its weights.

    Raises:
        UserError: if there is no such model, function or file, or it does not fit.
    """
    encoder = _torchvision(name, size) if name.startswith(TORCHVISION) else _of_function(name)
    _require_features(encoder)
    return encoder


def _torchvision(name: str, size: int | None) -> FrozenEncoder:
    model, _, source = name.removeprefix(TORCHVISION).partition("@")
    known = models.list_models(module=models)
    if model not in known:
        raise UserError(f"{name}: torchvision has no model {model}{suggest(model, known)}")
    weighed = _weighed(name, model, source)
    head = weighed.network.get_submodule(weighed.head)
    weighed.network.set_submodule(weighed.head, nn.Identity())
    size = size or weighed.size
    return FrozenEncoder(
        name,
        at_rest(weighed.network),
        size,
        weighed.mean,
        weighed.std,
        head=at_rest(head) if weighed.classifies else None,
        label_space=LABEL_SPACE if weighed.classifies else None,
        resize=None if weighed.resize is None else round(size * weighed.resize / weighed.size),
        interpolation=weighed.interpolation,
    )


def _weighed(name: str, model: str, source: str) -> _Weighed:
    """A model with the weights of its name, and the images that they expect."""
    if source:
        network = models.get_model(model, weights=None)
        head = _last_linear(network, name)
        if source == _RANDOM:
            _draw(network, name)
        else:
            file, _, prefix = source.partition("#")
            weights.fill(network, Path(file).expanduser(), prefix=prefix or None, without=head)
        return _Weighed(network, head, _SIZE, None, "bicubic", _MEAN, _STD, classifies=False)
    default = models.get_weight(f"{models.get_model_weights(model).__name__}.DEFAULT")
    try:
        network = models.get_model(model, weights=default)
    except URLError as error:
        raise UserError(
            f"{name}: its weights cannot be fetched ({error.reason}); put {default.url} into "
            f"{torch.hub.get_dir()}/checkpoints, or name a file of weights: {name}@FILE"
        ) from error
    wanted = default.transforms()
    classifies = len(default.meta["categories"]) == NUM_CLASSES
    head = _last_linear(network, name)
    interpolation = "bilinear" if wanted.interpolation == InterpolationMode.BILINEAR else "bicubic"
    return _Weighed(
        network,
        head,
        wanted.crop_size[0],
        wanted.resize_size[0],
        interpolation,
        tuple(wanted.mean),
        tuple(wanted.std),
        classifies,
    )


def _draw(network: nn.Module, name: str) -> None:
    try:
        init_weights(network, seed=0)
    except ValueError as error:
        raise UserError(f"{name}: {error}") from error


def _last_linear(network: nn.Module, name: str) -> str:
    """The path of the classification layer; its inputs are the features."""
    layers = {path: module for path, module in network.named_modules() if isinstance(module, nn.Linear)}
    found = [path for path, layer in layers.items() if layer.out_features == NUM_CLASSES]
    if not found:
        law = "it does not end in a linear layer, so its features must be defined by a function"
        raise UserError(f"{name}: {law}; see orchestrator/evaluate/third_party.py")
    return found[-1]


def _of_function(name: str) -> FrozenEncoder:
    module, _, function = name.partition(":")
    try:
        made = getattr(importlib.import_module(module), function)()
    except Exception as error:  # it runs the user's code
        raise UserError(f"{name}: the function cannot be called ({named(error)})") from error
    if not isinstance(made, FrozenEncoder):
        law = "must return an orchestrator.probing.frozen.FrozenEncoder"
        raise UserError(f"{name}: the function {law}, and returned {type(made).__name__}")
    at_rest(made.network)
    if made.head is not None:
        at_rest(made.head)
    return made


def _require_features(encoder: FrozenEncoder) -> None:
    """Checks with one image that the network takes images of its size and returns one vector for each."""
    blank = np.zeros((2, encoder.size, encoder.size, 3), np.uint8)
    try:
        features = encoder.features(blank)
    except (RuntimeError, ValueError, AssertionError) as error:
        raise UserError(f"{encoder.name}: it does not take images of {encoder.size} px ({named(error)})") from error
    if features.ndim != 2:
        raise UserError(f"{encoder.name}: it must give a vector for each image, and gives {tuple(features.shape[1:])}")
