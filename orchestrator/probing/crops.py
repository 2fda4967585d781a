"""SGD on randomly augmented crops, shared by the protocols that train on images instead of cached features."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional
from torch.optim import SGD
from torch.optim.lr_scheduler import MultiStepLR

from augment import draws
from augment.ops import crop, flip
from augment.pipeline import Pipeline
from augment.views import Batch, Step, ViewSpec
from orchestrator.data.images import ImageSet
from orchestrator.probing.features import labels_of, planes
from orchestrator.probing.frozen import FrozenEncoder

# torchvision's defaults, as in the reference probes.
RECIPE = (
    Step("crop", crop, crop.Config(scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3))),
    Step("flip", flip, flip.Config(p=0.5)),
)
DROPS = (0.6, 0.8)  # shares of the epochs after which the rates drop


@dataclass(frozen=True)
class Schedule:
    """How long to train, and how the learning rates decay.

    Args:
        epochs: passes over the images.
        batch_size: largest batch. The batches of an epoch are as equal in size as possible: images of a short last
            batch would weigh more, and a batch of one image has no batch statistics.
        drop: factor on the rates after 60 % and again after 80 % of the epochs.
        seed: of order and views.
    """

    epochs: int
    batch_size: int
    drop: float
    seed: int

    @property
    def milestones(self) -> list[int]:
        """Epochs after which the rates drop."""
        return [round(share * self.epochs) for share in DROPS]

    def batches(self, num_images: int) -> int:
        """Steps of an epoch."""
        return -(-num_images // self.batch_size)


def descend(
    logits: Callable[[Float[Tensor, "B 3 S S"]], Float[Tensor, "B C"]],
    optimizer: SGD,
    images: ImageSet,
    encoder: FrozenEncoder,
    schedule: Schedule,
) -> None:
    """Minimises the cross-entropy on a new random crop and flip of each image in each epoch.

    Args:
        logits: of normalised views; only parameters of the optimizer are trained.
        optimizer: with its first rates.
        images: with labels.
        encoder: gives size and normalisation of the views, and the device.
        schedule: how long.

    Raises:
        ValueError: if the images have no labels.
    """
    labels = labels_of(images)
    pipeline = Pipeline(
        {"crop": ViewSpec(recipe=("crop",), size=encoder.size)},
        {"crop": RECIPE},
        mean=encoder.mean,
        std=encoder.std,
        seed=schedule.seed,
    )
    rates = MultiStepLR(optimizer, schedule.milestones, gamma=schedule.drop)
    for epoch in range(schedule.epochs):
        order = draws.permutation(schedule.seed, epoch, len(images))
        for rows in order.tensor_split(schedule.batches(len(images))):
            source = torch.from_numpy(images.images[rows.numpy()]).to(encoder.device)
            views = pipeline(Batch(planes(source)), rows.to(encoder.device), epoch)["crop"].images
            loss = functional.cross_entropy(
                logits(views.contiguous(memory_format=torch.channels_last)), labels[rows].to(encoder.device)
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        rates.step()
