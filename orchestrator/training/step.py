"""One optimizer step with fixed shapes and fixed memory, so that a GPU can replay it from CUDA graphs."""

import logging
from collections.abc import Mapping
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from augment.views import Batch, View
from methods.contract import Losses
from methods.parts.gather import part, world_size
from orchestrator.core import hardware
from orchestrator.training import groups, ranks
from orchestrator.training.graphs import Capturing, Replayed
from orchestrator.training.parts import Parts
from orchestrator.training.stopwatch import Stopwatch

logger = logging.getLogger(__name__)


class Step:
    """One optimizer step: loads a batch, makes its views, and updates the weights.

    What changes from step to step is first written into tensors on the device. On a GPU each phase is captured after a
    few steps and replayed from then on, if the images are there and the training has one worker.

    Args:
        parts: of the training.
        device: where they are.
        stopwatch: times each phase.
        precision: of the networks' forward and backward passes.

    Attributes:
        part_names: of the losses' parts, once there was a step.
        part_sums: of the losses' parts over the steps since they were last set to 0, in the order of the names.
    """

    def __init__(
        self, parts: Parts, device: torch.device, stopwatch: Stopwatch, *, precision: Literal["auto", "fp32", "bf16"]
    ) -> None:
        self._objective, self._optimizer, self._stopwatch = parts.objective, parts.optimizer, stopwatch
        self._images, self._pipeline = parts.images, parts.pipeline
        self._losses = ranks.share(parts.objective)
        self._bf16 = hardware.uses_bf16(precision, device)
        self.part_names: list[str] = []
        self.part_sums = torch.zeros(0, device=device)

        self._device = device
        self._rows: Int64[Tensor, "B"] = torch.zeros(0, dtype=torch.int64, device=device)
        self._epoch: Int64[Tensor, ""] = torch.zeros((), dtype=torch.int64, device=device)
        self._progress: Float[Tensor, ""] = torch.zeros((), dtype=torch.float64, device=device)
        self._upcoming = torch.zeros_like(self._progress)
        self._capturing = self._capturing_if_it_can()
        self.forget()

    def __call__(self, rows: Int64[Tensor, "B"], epoch: int, *, progress: float, upcoming: float) -> Losses:
        """One step with the optimizer's current learning rates.

        Args:
            rows: of the images, those of all workers.
            epoch: from 1.
            progress: share of the budget done after this step, in (0, 1].
            upcoming: the same after the next step; values above 1 count as 1.

        Returns:
            The losses of this worker's part; on a GPU the next step overwrites them.
        """
        rows = part(rows)
        if rows.shape != self._rows.shape:
            self._rows = torch.empty_like(rows, device=self._device)
            self.forget()
        self._given = rows
        self._rows.copy_(hardware.sent(rows, self._device))
        self._epoch.fill_(epoch)
        self._progress.fill_(progress)
        self._upcoming.fill_(min(upcoming, 1.0))
        self._done = progress
        with self._stopwatch.measure("loading"):
            self._batch = self._load()
        with self._stopwatch.measure("augmentation"):
            self._views = self._augment()
        with self._stopwatch.measure("training"):
            losses = self._learn()
        del self._batch, self._views  # a replayed step keeps its own; without graphs this frees them
        return losses

    def forget(self) -> None:
        """Drop captured graphs: tensors have moved."""
        self._load, self._augment, self._learn = self._loading, self._augmentation, self._training
        if self._capturing is not None:
            replayed = partial(Replayed, key=self._frozen, capturing=self._capturing)
            self._load, self._augment, self._learn = map(replayed, (self._loading, self._augmentation, self._training))

    def _capturing_if_it_can(self) -> Capturing | None:
        if not hardware.captures(self._device):
            return None
        if world_size() == 1 and self._images.capturable:
            return Capturing()
        reason = self._images.reason if world_size() == 1 else "several workers share the training"
        logger.warning("trains without CUDA graphs: %s", reason)
        return None

    def _frozen(self) -> tuple[bool, ...]:
        return groups.frozen(self._optimizer, self._done)

    def _loading(self) -> Batch:
        # Images outside the device are indexed by the rows on the host, so that nothing is copied back.
        return self._images.batch(self._rows if self._images.capturable else self._given)

    def _augmentation(self) -> Mapping[str, View]:
        return self._pipeline(self._batch, self._rows, self._epoch)

    def _training(self) -> Losses:
        labels = None if self._images.labels is None else self._images.labels[self._rows]
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            losses = self._losses(self._views, labels, self._progress)
        self._optimizer.zero_grad()
        losses.total.backward()
        groups.hold_frozen(self._optimizer, self._done)
        self._optimizer.step()
        self._objective.after_step(self._upcoming, losses.keys)
        self._add(losses)
        return losses

    def _add(self, losses: Losses) -> None:
        values = torch.stack([losses.total.detach().float(), *(part.float() for part in losses.parts.values())])
        if not self.part_names:
            self.part_names = ["loss", *losses.parts]
            self.part_sums = torch.zeros_like(values)
        self.part_sums += values
