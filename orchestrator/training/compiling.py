"""Compiles the augmentation with torch.compile if that pays and is possible."""

import logging
from collections.abc import Callable
from typing import Literal, ParamSpec, TypeVar

import torch

Given = ParamSpec("Given")
Made = TypeVar("Made")

# Pixels in all views of a training from which on compiling pays for its half minute on a GPU. Estimated, not measured:
# fusing saves some 100 passes over a view, each 24 bytes a pixel, at 4 TB/s. 200 epochs of STL-10 at 96 pixels have
# four times as many, as many of CIFAR-10 a fifth. A CPU never does: it gains a few per cent of a tenth of its step.
WORTHWHILE = 10**11

logger = logging.getLogger(__name__)


def worthwhile(choice: Literal["auto", "never", "always"], device: torch.device, pixels: int) -> bool:
    """Whether to compile.

    Args:
        choice: the run's.
        device: where to train.
        pixels: of all views of all epochs.
    """
    return choice == "always" or (choice == "auto" and device.type == "cuda" and pixels >= WORTHWHILE)


def compiled(function: Callable[Given, Made]) -> Callable[Given, Made]:
    """A function of tensors of fixed shapes, compiled at its second call; if that fails, the function itself.

    The first call is eager, so that the constants it needs (`augment.constants`) are on the device before tracing.
    Random numbers are bitwise equal to the eager ones; values computed from them may differ in the last bit.
    """
    from torch._dynamo.exc import TorchDynamoException  # the compiler takes seconds to import

    chosen = None

    def call(*args: Given.args, **kwargs: Given.kwargs) -> Made:
        nonlocal chosen
        if chosen is None:
            chosen = torch.compile(function, fullgraph=True, dynamic=False)
            return function(*args, **kwargs)
        try:
            return chosen(*args, **kwargs)
        except TorchDynamoException as error:
            logger.warning("trains without compiled augmentation: %s", _reason(error))
            chosen = function
            return function(*args, **kwargs)

    return call


def _reason(error: Exception) -> str:
    """The first line of an error's message, with the next one where it only introduces it ("... raised:")."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
