"""The training loop in plain PyTorch; it does not know what runs it: a test, a Tune actor or a Train worker.

If torch.distributed has a default process group, its ranks share one training and get the numbers of a single process:
every batch is split into equal parts, and what a loss, a norm or a memory bank needs from other ranks is gathered.
"""

from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from methods.contract import Losses
from methods.parts.gather import average, part, world_size
from orchestrator.config.run import RunConfig, identity
from orchestrator.config.training import TrainingConfig
from orchestrator.core.errors import UserError
from orchestrator.probing.features import encoder_features
from orchestrator.training import export, groups, ranks
from orchestrator.training.context import Context, Diverged, Report
from orchestrator.training.parts import Data, Parts
from orchestrator.training.step import Step
from orchestrator.training.stopwatch import Stopwatch

__all__ = ["Context", "Diverged", "Training", "TrainingConfig", "train"]

# Steps between checks that the loss is finite: reading it makes a GPU wait.
CHECK_STEPS = 100


def train(training: "Training", context: Context) -> None:
    """Train from the newest checkpoint, or from the start, to the end of the budget, and export the encoder.

    Args:
        training: at its first step.
        context: takes reports, checkpoints and the encoder, from rank 0 only.

    Raises:
        Diverged: if a loss or a metric is no longer finite; on all ranks.
        UserError: if the checkpoint belongs to another run.
        RuntimeError: if another rank is gone, or the ranks' weights differ.
    """
    saved = ranks.from_first(context.load_checkpoint)
    if saved is not None:
        training.load_state_dict(saved)
    for report in training.history:
        training.deliver(report, context)
    while training.step < training.steps:
        training.run_epoch(context)


class Training:
    """The state of a training, and the loop over its steps and epochs.

    Args:
        run: everything that decides the numbers.
        data: what its metrics read, and the card that describes it.
        parts: from `orchestrator.training.assembly`.
        device: where the parts are.

    Attributes:
        images: the training images.
        metrics: computed on the encoder after an epoch.
        step: optimizer steps made.
        steps: in the whole budget.
        history: every report so far, the oldest first.

    Raises:
        UserError: if the settings leave nothing to train.
    """

    def __init__(self, run: RunConfig, data: Data, parts: Parts, device: torch.device) -> None:
        self.run, self.data, self.device = run, data, device
        self.step = 0
        self.history: list[Report] = []
        self.objective, self.optimizer = parts.objective, parts.optimizer
        self.images, self.metrics = parts.images, parts.metrics
        self._stopwatch = Stopwatch(device)
        self._optimise = Step(parts, device, self._stopwatch, precision=run.training.precision)

        self.epoch_steps = len(self.images) // run.training.batch_size
        self.steps = run.training.epochs * self.epoch_steps
        self._warmup_steps = round(run.optimizer.warmup_epochs * self.epoch_steps)
        self._require_steps()
        self._peak = groups.peak_rate(run.optimizer, run.training.batch_size)
        self._lap_images = 0

    def run_epoch(self, context: Context) -> None:
        """Train to the end of the current epoch, evaluate, save, report."""
        epoch = self.step // self.epoch_steps + 1
        batches = self.batches(epoch)[self.step % self.epoch_steps :]
        checkpoint_steps = self.run.training.checkpoint_steps
        self.objective.train()
        self.images.read_ahead([part(rows) for rows in batches])
        for rows in batches:
            self.train_step(rows, epoch)
            due = checkpoint_steps is not None and self.step % checkpoint_steps == 0
            if due or self.step % CHECK_STEPS == 0:
                self._require_finite_losses(epoch)
            if due and self.step < epoch * self.epoch_steps:
                self._save(context)
        report = self._report(epoch)
        ranks.require_agreement(self.objective)
        self.history.append(report)
        self._optimise.part_sums.zero_()
        self._save(context)
        self.deliver(report, context)

    def batches(self, epoch: int) -> tuple[Int64[Tensor, "B"], ...]:
        """The rows of an epoch's whole batches, in their order."""
        size = self.run.training.batch_size
        return self.images.order(epoch)[: self.epoch_steps * size].split(size)

    def train_step(self, rows: Tensor, epoch: int) -> Losses:
        """One optimiser step on the images of some rows, (B,) int64, and the losses of this rank's part of them."""
        self.step += 1
        self._lap_images += len(rows)
        groups.set_rate(self.optimizer, self._peak, self._rate_factor())
        return self._optimise(rows, epoch, progress=self.step / self.steps, upcoming=(self.step + 1) / self.steps)

    def deliver(self, report: Report, context: Context) -> None:
        """Report an epoch; a finished encoder is exported first, so that it exists when the end is reported."""
        if report["finished"]:
            state = self.objective.encoder.state_dict()
            card = export.describe(self.run, self.data.card, report)
            ranks.from_first(lambda: context.export(state, card))
        ranks.from_first(lambda: context.report(report))

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed training needs; draws have no state, so there is no generator."""
        return {
            "identity": identity(self.run),
            "step": self.step,
            "history": self.history,
            "objective": self.objective.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "part_names": self._optimise.part_names,
            "part_sums": self._optimise.part_sums,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state.

        Raises:
            UserError: if the state belongs to another run.
        """
        own = identity(self.run)
        if state["identity"] != own:
            raise UserError(
                f"the checkpoint belongs to another run (identity {state['identity'][:12]}, this one is {own[:12]}): "
                "use another folder, or give the run the settings it had"
            )
        self.step, self.history = state["step"], list(state["history"])
        self.objective.load_state_dict(state["objective"])
        groups.load(self.optimizer, state["optimizer"])
        self._optimise.part_names = list(state["part_names"])
        self._optimise.part_sums = state["part_sums"].to(self.device)
        self._optimise.forget()

    def _rate_factor(self) -> float:
        return groups.rate_factor(self.step, steps=self.steps, warmup_steps=self._warmup_steps)

    def _report(self, epoch: int) -> Report:
        self._require_finite_losses(epoch)
        means = (self._optimise.part_sums / self.epoch_steps).tolist()
        metrics = dict(zip(self._optimise.part_names, means, strict=True))
        with self._stopwatch.measure("evaluation"):
            mean, std = self.data.card.mean, self.data.card.std
            encode = encoder_features(self.objective.encoder, mean, std)
            for metric in self.metrics:
                if metric.config.due(epoch, self.run.training.epochs):
                    metrics |= metric(encode, self.data.splits)
        bad = [name for name, value in metrics.items() if not torch.isfinite(torch.tensor(value))]
        if bad:
            raise Diverged(f"epoch {epoch}: {', '.join(bad)} not finite at learning rate {self._rate():.3g}")
        finished = int(epoch == self.run.training.epochs)
        return {"epoch": epoch, "finished": finished, "lr": self._rate(), **metrics, **self._timings()}

    def _rate(self) -> float:
        return self._peak * self._rate_factor()

    def _require_finite_losses(self, epoch: int) -> None:
        # The sums become the ranks' mean here, and so in every checkpoint, each of which comes after this: what further
        # steps add on each rank leaves them a sum whose mean is right.
        self._optimise.part_sums = average(self._optimise.part_sums)
        finite = torch.isfinite(self._optimise.part_sums).tolist()
        bad = [name for name, good in zip(self._optimise.part_names, finite, strict=True) if not good]
        if bad:
            raise Diverged(
                f"epoch {epoch}, step {self.step}: {', '.join(bad)} not finite at learning rate {self._rate():.3g}"
            )

    def _require_steps(self) -> None:
        if self.epoch_steps < 1:
            raise UserError(
                f"run.training.batch_size = {self.run.training.batch_size}: exceeds the {len(self.images)} training "
                f"images; use at most {len(self.images)}"
            )
        if self.run.training.batch_size % world_size():
            raise UserError(
                f"run.training.batch_size = {self.run.training.batch_size}: it must be a multiple of {world_size()} "
                "(sweep.workers), for every worker trains on an equal part of each batch"
            )
        if self._warmup_steps >= self.steps:
            raise UserError(
                f"run.optimizer.warmup_epochs = {self.run.optimizer.warmup_epochs}: must be less than the whole "
                f"budget, run.training.epochs = {self.run.training.epochs}"
            )

    def _save(self, context: Context) -> None:
        with self._stopwatch.measure("checkpoint"):
            ranks.from_first(lambda: context.save_checkpoint(self.state_dict()))

    def _timings(self) -> dict[str, float]:
        """Timings since the last report or resume; they include the checkpoint of the epoch before."""
        seconds = self._stopwatch.lap()
        total, images, self._lap_images = seconds.pop("total"), self._lap_images, 0
        trained = sum(seconds.get(part, 0.0) for part in ("loading", "augmentation", "training"))
        shares = {f"time/{name}": value / total for name, value in seconds.items()}
        return {"time/epoch": total, "time/images_per_second": images / trained, **shares}
