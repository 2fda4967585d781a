"""Rotation by quarter turns."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from augment import config as base
from augment.views import Batch, Params, Target

SLOTS = 2
TARGET_WIDTH = 4
REORIENTS = True


class Config(base.Config):
    """How often an image is turned.

    Args:
        p: probability that a turn is drawn; one in four of the drawn turns is none.
    """

    p: base.Probability = 0.5


PROBES = {"": Config(p=1.0)}


def sample(config: Config, shape: tuple[int, int], uniforms: Float[Tensor, "B slots"]) -> Params:
    """Draw by how many quarter turns each image is rotated.

    Args:
        config: how often.
        shape: height and width of the images in pixels, which must be equal.
        uniforms: `SLOTS` numbers per image in [0, 1).

    Returns:
        `turns` (B,) int64: quarter turns anticlockwise, in {0, 1, 2, 3}; 0 is the identity.

    Raises:
        ValueError: if the images are not square: a batch can have one shape only.

    Source: AugSelf's official code (`stl10_rot`): all four rotations are drawn alike, so that with p = 1/2 five images
        in eight stay upright.
    """
    if shape[0] != shape[1]:
        raise ValueError(f"height = width must hold to rotate, got {shape[0]} x {shape[1]}: put crop before rotate")
    return {"turns": torch.where(uniforms[:, 0] < config.p, (4 * uniforms[:, 1]).long(), 0)}


def apply(batch: Batch, params: Params, size: int | None = None) -> Batch:
    """Turn each image, with its mask and background, anticlockwise; `size` is ignored.

    A quarter turn where the number is odd, then half a turn where it is 2 or 3: both only move pixels.
    """
    turns = params["turns"][:, None, None, None]

    def turned(plane: Tensor) -> Tensor:
        plane = torch.where(turns % 2 == 1, plane.mT.flip(-2), plane)
        return torch.where(turns >= 2, plane.flip(-2, -1), plane)

    return batch.moved(turned)


def describe(params: Params) -> Float[Tensor, "B 1"]:
    """The rotation in whole turns: 0, 1/4, 1/2 or 3/4."""
    return params["turns"].float()[:, None] / 4


def compare(first: Mapping[str, Params], second: Mapping[str, Params]) -> Target:
    """By how many quarter turns the first view is ahead of the second.

    Args:
        first: parameters of all ops of the first view, by op name.
        second: parameters of all ops of the second view, by op name.

    Returns:
        Classes of (B,), in {0, 1, 2, 3}.

    Source: AugSelf (arXiv 2111.09613), official code.
    """
    return Target((first["rotate"]["turns"] - second["rotate"]["turns"]) % 4, "classes")
