"""Adversarial attacks within an L-inf ball of radius eps: FGSM and PGD use gradients, Square Attack does not.

Source: FGSM: Goodfellow et al., arXiv 1412.6572; PGD: Madry et al., arXiv 1706.06083; Square Attack: Andriushchenko et
al., arXiv 1912.00049. Implemented here because no maintained attack library is lightweight.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from orchestrator.probing.draw import Draw

# Images (B, 3, H, W) in [0, 1] to logits (B, C) on their device, with gradients.
Model = Callable[[Tensor], Tensor]

PGD_STEP = 2.5  # a step is this many times eps / steps, so that every point of the ball can be reached from any other
# Square Attack: the share of the image that the first square covers, and the shares of the queries at which it halves.
FIRST_SHARE = 0.8
HALVINGS = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)


def fgsm(
    model: Model, images: Float[Tensor, "B 3 H W"], labels: Int64[Tensor, "B"], eps: float
) -> Float[Tensor, "B 3 H W"]:
    """One step of eps along the sign of the gradient of the cross-entropy; eps and images in [0, 1]."""
    return (images + eps * _uphill(model, images, labels)).clamp(0, 1)


def pgd(
    model: Model,
    images: Float[Tensor, "B 3 H W"],
    labels: Int64[Tensor, "B"],
    eps: float,
    *,
    steps: int,
    draw: Draw,
) -> Float[Tensor, "B 3 H W"]:
    """Many small gradient-sign steps from a random point of the ball, each projected back into the ball.

    Args:
        model: the whole classifier.
        images: in [0, 1].
        labels: the right classes.
        eps: largest change of any value, in [0, 1].
        steps: how many, >= 1.
        draw: of the starting point; another name gives another restart.
    """
    low, high = (images - eps).clamp(min=0), (images + eps).clamp(max=1)
    start = draw.between(-eps, eps, "start", *images.shape[1:]).to(images.device)
    moved = (images + start).clamp(0, 1)
    for _ in range(steps):
        moved = moved + PGD_STEP * eps / steps * _uphill(model, moved, labels)
        moved = torch.minimum(torch.maximum(moved, low), high)
    return moved


@torch.no_grad()
def square(
    model: Model,
    images: Float[Tensor, "B 3 H W"],
    labels: Int64[Tensor, "B"],
    eps: float,
    *,
    queries: int,
    draw: Draw,
) -> Float[Tensor, "B 3 H W"]:
    """Random squares of one colour at the ball's edge, kept where they lower the margin of the right class.

    It only queries logits, so a masked gradient does not stop it.

    Args:
        model: the whole classifier.
        images: in [0, 1].
        labels: the right classes.
        eps: largest change of any value, in [0, 1].
        queries: how many squares are tried, >= 1.
        draw: of their places and colours.
    """
    height, width = images.shape[2:]
    stripes = eps * _signs(draw.uniform("stripes", 3, 1, width)).to(images.device)
    best = (images + stripes).clamp(0, 1)
    margin = _margin(model(best), labels)
    numbers = draw.uniform("squares", queries, 5).to(images.device)
    down, along = torch.arange(height, device=images.device), torch.arange(width, device=images.device)
    for query in range(queries):
        share = FIRST_SHARE / 2 ** sum(query >= at * queries for at in HALVINGS)
        side = min(height, width, max(1, round(math.sqrt(share * height * width))))
        top, left = (
            (numbers[:, query, k] * (room - side + 1)).floor()[:, None] for k, room in enumerate((height, width))
        )
        inside = ((down >= top) & (down < top + side))[:, None, :, None]
        inside = inside & ((along >= left) & (along < left + side))[:, None, None, :]
        coloured = (images + eps * _signs(numbers[:, query, 2:])[:, :, None, None]).clamp(0, 1)
        tried = torch.where(inside, coloured, best)
        tried_margin = _margin(model(tried), labels)
        better = tried_margin < margin
        best = torch.where(better[:, None, None, None], tried, best)
        margin = torch.minimum(margin, tried_margin)
    return best


def _uphill(model: Model, images: Float[Tensor, "B 3 H W"], labels: Int64[Tensor, "B"]) -> Float[Tensor, "B 3 H W"]:
    """The sign of the gradient of the cross-entropy; 0 where there is none."""
    with torch.enable_grad():
        variable = images.detach().requires_grad_(True)
        loss = functional.cross_entropy(model(variable), labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, variable)
    return gradient.sign()


def _margin(logits: Float[Tensor, "B C"], labels: Int64[Tensor, "B"]) -> Float[Tensor, "B"]:
    """The margin of the right class over the best other class; negative when misclassified."""
    right = logits.gather(1, labels[:, None])[:, 0]
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return right - others.amax(dim=1)


def _signs(numbers: Tensor) -> Tensor:
    """-1 or 1, from uniform numbers in [0, 1)."""
    return (numbers < 0.5).to(numbers.dtype) * 2 - 1
