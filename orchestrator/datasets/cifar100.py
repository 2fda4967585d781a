"""CIFAR-100: 60,000 photographs of 32 pixels in a hundred classes."""

from torchvision.datasets import CIFAR100

from orchestrator.data import cifar

PUBLISHED = cifar.Cifar(CIFAR100, 100, mean=(0.5071, 0.4865, 0.4409), std=(0.2673, 0.2564, 0.2762))


class Config(cifar.Settings):
    """Location of CIFAR-100, and how it is split; see `cifar.Settings`."""

    name: str = "cifar100"


card, verify, load = PUBLISHED.card, PUBLISHED.verify, PUBLISHED.load
