"""An encoder with two norms: ranks that share a training exchange little, and their tests are quick."""

from torch import nn

from augment.config import Config as BaseConfig
from methods.contract import Encoder

WIDTH = 8


class Config(BaseConfig):
    """Nothing is left open."""

    name: str = "tests.orchestrator.training.tiny_encoder"


class Tiny(Encoder, nn.Sequential):
    """Two convolutions and a mean."""

    num_features = WIDTH


def build(config: Config) -> Tiny:
    """The encoder."""
    layers = []
    for num_inputs in (3, WIDTH):
        layers += [nn.Conv2d(num_inputs, WIDTH, 3, stride=2, bias=False), nn.BatchNorm2d(WIDTH), nn.ReLU()]
    return Tiny(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
