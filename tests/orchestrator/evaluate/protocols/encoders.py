"""Encoders of which it is known what they keep."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from orchestrator.datasets import synthetic
from orchestrator.probing.data import EvaluationData
from orchestrator.probing.frozen import FrozenEncoder


class Keeps(nn.Module):
    """Features by a plain function of images in [0, 1]."""

    def __init__(self, keeps: Callable[[Tensor], Tensor]):
        super().__init__()
        self.keeps = keeps
        self.register_buffer("nothing", torch.zeros(1))

    def forward(self, images: Tensor) -> Tensor:
        return self.keeps(images).flatten(1)


def keeping(keeps: Callable[[Tensor], Tensor], size: int = 16) -> FrozenEncoder:
    return FrozenEncoder("known", Keeps(keeps), size, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


class Constant(nn.Module):
    """A head of so many logits that likes one class best and another second, whatever it is shown."""

    def __init__(self, num_classes, *liked):
        super().__init__()
        self.register_buffer("logits", torch.zeros(num_classes))
        for place, number in enumerate(liked):
            self.logits[number] = len(liked) - place

    def forward(self, features):
        return self.logits.expand(len(features), -1)


def headed(head, space="imagenet1k"):
    return FrozenEncoder("headed", Keeps(mean_colour), 16, (0.0,) * 3, (1.0,) * 3, head=head, label_space=space)


def pixels(images: Tensor) -> Tensor:
    return images


def coarse(images: Tensor) -> Tensor:
    return functional.avg_pool2d(images, 4)


def mean_colour(images: Tensor) -> Tensor:
    return images.mean(dim=(2, 3))


def shapes(encoder: FrozenEncoder, folder, **settings) -> EvaluationData:
    settings = {"size": 16, "train_size": 200, "validation_size": 200, "test_size": 200} | settings
    return EvaluationData("shapes", synthetic.Config(**settings), encoder, folder)
