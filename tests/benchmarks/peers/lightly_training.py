"""Pre-training as in lightly's examples: PIL images through a DataLoader, its transform, heads and losses.

A bare loop replaces Lightning's Trainer, which would only add overhead. Imports nothing from this repository except the
two methods and the transform in this folder.
"""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from lightly.models.modules.heads import ProjectionHead
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.models import resnet18

from tests.benchmarks.peers.lightly_methods import BYOL, SimCLR
from tests.benchmarks.peers.lightly_simclr import transform


class Photos(Dataset):
    """Images in memory as bytes, like torchvision's CIFAR10; an item is its two views."""

    def __init__(self, images: np.ndarray, mean: tuple[float, float, float], std: tuple[float, float, float]):
        self.images, self.augment = images, transform(images.shape[1], mean, std)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> list[Tensor]:
        return self.augment(Image.fromarray(self.images[index]))


@dataclass(frozen=True)
class Settings:
    batch: int
    rate: float
    weight_decay: float
    steps: int  # of the whole schedule
    bf16: bool
    channels_last: bool


class Trainer:
    """Trains one network: SGD with a half-cosine schedule, two views per step."""

    def __init__(self, method: nn.Module, settings: Settings, device: torch.device):
        self.settings, self.device, self.step = settings, device, 0
        self.format = torch.channels_last if settings.channels_last else torch.contiguous_format
        self.method = method.to(device, memory_format=self.format).train()
        trained = [parameter for parameter in method.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.SGD(
            trained, lr=settings.rate, momentum=0.9, weight_decay=settings.weight_decay, foreach=True
        )
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, settings.steps)

    def train_step(self, views: Sequence[Tensor]) -> Tensor:
        first, second = (
            view.to(self.device, non_blocking=True).contiguous(memory_format=self.format) for view in views
        )
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.bf16):
            loss = self.method(first, second, self.step, self.settings.steps)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        self.step += 1
        return loss.detach()

    def run_epoch(self, loader: DataLoader) -> float:
        """Train one epoch and return its seconds; the loss is read only at the end."""
        start, total = time.perf_counter(), torch.zeros((), device=self.device)
        for views in loader:
            total += self.train_step(views)
        float(total)
        return time.perf_counter() - start


def loader(photos: Photos, batch: int, workers: int) -> DataLoader:
    return DataLoader(
        photos,
        batch,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


def workers() -> int:
    """The number of DataLoader workers that leaves one core to the loop."""
    return max(1, len(os.sched_getaffinity(0)) - 1)


def encoder() -> nn.Module:
    """ResNet-18 with the stem for small images."""
    network = resnet18(num_classes=1)
    network.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    network.maxpool = nn.Identity()
    network.fc = nn.Identity()
    return network


def head(sizes: tuple[int, int, int]) -> nn.Module:
    """lightly's head, with biases in the same layers as the network it is compared with."""
    inputs, hidden, outputs = sizes
    norm, relu = nn.BatchNorm1d(hidden), nn.ReLU(inplace=True)
    return ProjectionHead([(inputs, hidden, norm, relu, True), (hidden, outputs, None, None, False)])


def simclr(weights: Mapping[str, Mapping[str, Tensor]], hidden: int, outputs: int, *, temperature: float) -> nn.Module:
    """SimCLR that starts from given weights of `encoder` and `projector`."""
    network, projector = encoder(), head((512, hidden, outputs))
    network.load_state_dict(weights["encoder"])
    projector.layers.load_state_dict(weights["projector"])
    return SimCLR(network, projector, temperature=temperature)


def byol(weights: Mapping[str, Mapping[str, Tensor]], hidden: int, outputs: int, *, momentum: float) -> nn.Module:
    """BYOL that starts from given weights of `encoder`, `projector` and `predictor`."""
    network, projector, predictor = encoder(), head((512, hidden, outputs)), head((outputs, hidden, outputs))
    network.load_state_dict(weights["encoder"])
    projector.layers.load_state_dict(weights["projector"])
    predictor.layers.load_state_dict(weights["predictor"])
    return BYOL(network, projector, predictor, momentum=momentum)
