"""Changes of images, none larger than eps, that make a classifier err: by its gradient, and without it.

Source: FGSM: Goodfellow et al., arXiv 1412.6572; PGD: Madry et al., arXiv 1706.06083; Square Attack: Andriushchenko et
al., arXiv 1912.00049. Written here, as no attack library is both light and kept up.
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

PGD_STEP = 2.5  # a step is this many times eps / steps, so that any point of the ball is in reach of any other
# Square Attack: the share of the image that a square covers at first, and at which shares of the queries it halves.
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
    """Many small steps of that kind, from a random point of the ball, back into the ball after each.

    Args:
        model: the whole classifier.
        images: in [0, 1].
        labels: the right classes.
        eps: largest change of any value, in [0, 1].
        steps: how many, >= 1.
        draw: of the start; another name is another restart.
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
    """Squares of one random colour at the ball's edge, kept where they bring the right class closer to losing.

    It asks the model for logits alone, so that what hides the gradient does not hide from it.

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
    """By how much the right class leads the best of the others; below 0 it has lost."""
    right = logits.gather(1, labels[:, None])[:, 0]
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return right - others.amax(dim=1)


def _signs(numbers: Tensor) -> Tensor:
    """-1 or 1, from uniform numbers in [0, 1)."""
    return (numbers < 0.5).to(numbers.dtype) * 2 - 1
