"""The parts of a training, as the composition root (`orchestrator.training.assembly`) hands them out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType

import torch
from jaxtyping import Int64
from torch import Tensor
from torch.optim import Optimizer

from augment.draws import Epoch
from augment.views import Batch, View
from methods.objective import Objective
from orchestrator.core.errors import named
from orchestrator.data.foregrounds import Foregrounds
from orchestrator.data.images import DatasetCard, ImageSet
from orchestrator.data.on_device import DeviceImages
from orchestrator.data.on_host import HostImages
from orchestrator.data.streamed import Stream, StreamedImages
from orchestrator.metrics import DEFAULT_SPLITS, Timing
from orchestrator.probing.features import Encode
from orchestrator.training.metric_values import MetricError, checked

# Training images, handed out in batches.
Images = DeviceImages | HostImages | StreamedImages
# From a batch, its rows in the data set and the epoch to the views of the plan, by name.
MakeViews = Callable[[Batch, Int64[Tensor, "B"], Epoch], Mapping[str, View]]


@dataclass(frozen=True)
class Data:
    """A configured data set, decoded: made once per node and shared, read-only, by every trial on it.

    Args:
        card: what it is.
        splits: `train`, and the splits that the run's metrics read.
        stream: the training images on disk, if they do not fit in memory; `train` is then a sample, which is also
            `bank`.
        foregrounds: foregrounds and backgrounds of `train`, if the run's views need them.
    """

    card: DatasetCard
    splits: Mapping[str, ImageSet]
    stream: Stream | None = None
    foregrounds: Foregrounds | None = None

    @property
    def nbytes(self) -> int:
        """Size in memory; splits may share their images."""
        held = (*self.splits.values(), self.stream, self.foregrounds)
        return sum({id(one): one.nbytes for one in held if one is not None}.values())


@dataclass(frozen=True)
class Metric:
    """One metric of a run: its module in `orchestrator/metrics`, and its settings."""

    module: ModuleType
    config: Timing

    def __call__(self, encode: Encode, splits: Mapping[str, ImageSet]) -> dict[str, int | float]:
        """Its values, by name.

        Raises:
            MetricError: if it fails, or returns what is not a number.
        """
        name = self.module.__name__.removeprefix("orchestrator.metrics.")
        try:
            found = self.module.evaluate(encode, splits, self.config)
        except (MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # of whatever kind, since the module may be a user's own
            raise MetricError(name, named(error)) from error
        return checked(name, found, self.module.METRICS)

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that it reads."""
        return getattr(self.module, "SPLITS", DEFAULT_SPLITS)

    @property
    def needs_labels(self) -> bool:
        """Whether those splits must have labels."""
        return getattr(self.module, "NEEDS_LABELS", False)


@dataclass(frozen=True)
class Parts:
    """What `Training` needs to train one run on one device.

    Args:
        objective: the method, its plan and the add-ons' losses, on the device.
        optimizer: of the objective's parameters.
        images: the training images.
        pipeline: makes the views of a batch.
        metrics: computed on the encoder after an epoch.
    """

    objective: Objective
    optimizer: Optimizer
    images: Images
    pipeline: MakeViews
    metrics: Sequence[Metric]
