"""Augmentation fused by torch's compiler, where that is worth its time and can be had."""

import logging
from collections.abc import Callable
from typing import Literal, ParamSpec, TypeVar

import torch

Given = ParamSpec("Given")
Made = TypeVar("Made")

# Pixels of a whole training's views from which on a GPU earns its compiler's half minute back. Reckoned, not measured:
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
    """A function of tensors of fixed shapes, compiled when it is first called; where that fails, as it was.

    Random numbers are the same to the last bit; what is computed of them may differ in it.
    """
    from torch._dynamo.exc import TorchDynamoException  # the compiler takes seconds to import

    chosen = torch.compile(function, fullgraph=True, dynamic=False)

    def call(*args: Given.args, **kwargs: Given.kwargs) -> Made:
        nonlocal chosen
        try:
            return chosen(*args, **kwargs)
        except TorchDynamoException as error:
            reason = next(line for line in str(error).splitlines() if line.strip())
            logger.warning("trains without compiled augmentation: %s", reason)
            chosen = function
            return function(*args, **kwargs)

    return call
