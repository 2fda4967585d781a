"""CIFAR-10: 60,000 photographs of 32 pixels in ten classes."""

from torchvision.datasets import CIFAR10

from orchestrator.data import cifar

PUBLISHED = cifar.Cifar(CIFAR10, 10, mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616))


class Config(cifar.Settings):
    """Location of CIFAR-10, and how it is split; see `cifar.Settings`."""

    name: str = "cifar10"


card, verify, load = PUBLISHED.card, PUBLISHED.verify, PUBLISHED.load
