"""The frozen encoder that protocols measure, with the image size and normalisation that it expects."""

import copy
import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from orchestrator.core import hardware
from orchestrator.data.decoding import Interpolation
from orchestrator.probing.features import CHUNK, normalised, planes, standardised


@dataclass(frozen=True)
class FrozenEncoder:
    """A network whose features are measured.

    Args:
        name: shown to the user.
        network: maps normalised (B, 3, S, S) to features (B, D); in eval mode, without gradients, on its device.
        size: side S of its input images, in pixels.
        mean: per channel, in [0, 1].
        std: per channel, in [0, 1].
        head: its own classifier from features to logits (B, C), or None.
        label_space: the classes of the logits, such as `imagenet1k`, or None without a head.
        resize: what the shorter side of a photograph is resized to before its centre of `size` is cut out, in pixels;
            None where the data set decides.
        interpolation: with which images of another size are resized.
    """

    name: str
    network: nn.Module
    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    head: nn.Module | None = None
    label_space: str | None = None
    resize: int | None = None
    interpolation: Interpolation = "bicubic"

    @property
    def device(self) -> torch.device:
        """The device of the network."""
        return next(iter([*self.network.parameters(), *self.network.buffers(), torch.empty(0)])).device

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of every parameter and buffer at the first access."""
        return self.fingerprint_now()

    def fingerprint_now(self) -> str:
        """SHA-256 of the current parameters and buffers; it is unchanged if neither encoder nor head was trained."""
        return fingerprint(self.network if self.head is None else nn.ModuleList([self.network, self.head]))

    @property
    def decoding(self) -> dict[str, Any]:
        """The fields of a data set's `Config` that decode photographs as the encoder's weights ask for."""
        own = {} if self.resize is None else {"resize": self.resize, "interpolation": self.interpolation}
        return {"size": self.size, **own}

    def prepared(self, images: UInt8[Tensor, "B H W 3"]) -> Float[Tensor, "B 3 S S"]:
        """Images on the device of the network, in its size, normalised."""
        images = images.to(self.device)
        if images.shape[1:3] == (self.size, self.size):
            return normalised(images, self.mean, self.std).contiguous(memory_format=torch.channels_last)
        whole = self.resize or self.size
        sized = functional.interpolate(planes(images), size=(whole, whole), mode=self.interpolation, antialias=True)
        edge = round((whole - self.size) / 2)
        centre = sized[..., edge : edge + self.size, edge : edge + self.size]
        return standardised(centre.clamp(0, 1), self.mean, self.std).contiguous()

    @torch.no_grad()
    def features(self, images: UInt8[np.ndarray, "N H W 3"]) -> Float[Tensor, "N D"]:
        """Features of images, in float32 on CPU."""
        chunks = [torch.from_numpy(np.array(images[at : at + CHUNK])) for at in range(0, len(images), CHUNK)]
        return torch.cat([self.network(self.prepared(chunk)).float().cpu() for chunk in chunks])

    def trainable(self) -> nn.Module:
        """A copy of the network with trainable parameters; the frozen network is not changed."""
        return copy.deepcopy(self.network).requires_grad_(True)


def at_rest(network: nn.Module) -> nn.Module:
    """Puts a network into eval mode without gradients, on the GPU if there is one."""
    return network.eval().requires_grad_(False).to(hardware.device())


def fingerprint(module: nn.Module) -> str:
    """SHA-256 of every parameter and buffer, by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
