"""Seconds of a training epoch, ours against lightly's networks, losses and PIL workers in a DataLoader, side by side.

    python -m tests.benchmarks.training_epoch                                  SimCLR; on CPU a few steps (3 minutes)
    python -m tests.benchmarks.training_epoch --batch 256                      the same, on CPU 6 minutes
    python -m tests.benchmarks.training_epoch --method byol --batch 256 512 1024 --epochs 3

ResNet-18 with the CIFAR stem on 32 px; crop, flip, colour jitter, grayscale and blur. Both start from the same weights
and get the same views in their first steps, whose losses must agree; then the unmodified loops are timed. Reported is
the median of the epochs; the order alternates after each. lightly's loop is timed in its default memory format and in
ours, with equal threads and precision (`--peer-precision fp32` for a peer without autocast), without Lightning, which
would only add overhead. If lightly is not installed, only ours is timed.

Targets on one H200, 50,000 images: SimCLR 1.1 s an epoch, BYOL 1.5 s, 200 epochs of SimCLR in under 4 minutes.
"""

import argparse
import importlib.util
import logging
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import yaml

from orchestrator.config.run import RunConfig, resolve, with_values
from orchestrator.core import hardware
from orchestrator.training import assembly, groups, planning
from orchestrator.training.parts import Data

COMPARED_STEPS, COMPARED_BATCH = 3, 32
CPU_IMAGES = 128  # images per epoch
WHOLE = 10_000  # images from which the estimate for 200 epochs is printed
METHODS: dict[str, dict[str, Any]] = {
    "simclr": {"name": "simclr", "temperature": 0.2, "projector_hidden": 512, "projector_outputs": 128},
    "byol": {"name": "byol", "momentum": 0.99, "hidden": 1024, "outputs": 128},
}
LOG = logging.getLogger(__name__)
Epoch = Callable[[], float]


class Nowhere:
    """A `Context` that keeps nothing, so that disks are not measured."""

    def report(self, metrics: dict[str, float | int]) -> None:
        pass

    def save_checkpoint(self, state: dict) -> None:
        pass

    def load_checkpoint(self) -> dict | None:
        return None

    def export(self, encoder_state: dict, card: dict) -> None:
        pass


def run_config(method: str, *, images: int, batch: int, **training: Any) -> RunConfig:
    """The method with ResNet-18 at 32 px and lightly's recipe."""
    aggressive = {"color_jitter": {}, "grayscale": {}, "blur": {}}
    return resolve(
        {
            "dataset": {"name": "synthetic", "size": 32, "train_size": images, "validation_size": 16},
            "augment": {"recipes": {"weak": {"crop": {}, "flip": {}}, "aggressive": aggressive}},
            "method": METHODS[method],
            "encoder": {"name": "resnet", "depth": 18, "stem": "cifar"},
            "optimizer": {"lr": 0.06},
            "training": {"epochs": 200, "batch_size": batch, **training},
            "evaluation": {},
        }
    )


def changed(run: RunConfig, values: dict[str, Any]) -> RunConfig:
    """The run with other values at some paths."""
    return resolve(with_values(run.dump(), values))


def ours(run: RunConfig, data: Data, device: torch.device) -> Epoch:
    """Return a function that runs one epoch of our training loop."""
    with hardware.arithmetic(run.training.threads, device):
        training = assembly.training(run, data, device)

    def epoch() -> float:
        with hardware.arithmetic(run.training.threads, device):
            start = time.perf_counter()
            training.run_epoch(Nowhere())
            hardware.wait_for(device)
            return time.perf_counter() - start

    return epoch


def peer(run: RunConfig, device: torch.device, *, bf16: bool, channels_last: bool) -> Any:
    """lightly's trainer, starting from our initial weights."""
    from tests.benchmarks.peers import lightly_training

    method, settings = assembly.objective(run).method, run.method
    parts = ("encoder", "projector", "predictor") if settings.name == "byol" else ("encoder", "projector")
    weights = {part: getattr(method, part).state_dict() for part in parts}
    if settings.name == "byol":
        network = lightly_training.byol(weights, settings.hidden, settings.outputs, momentum=settings.momentum)
    else:
        sizes = settings.projector_hidden, settings.projector_outputs
        network = lightly_training.simclr(weights, *sizes, temperature=settings.temperature)
    steps = run.training.epochs * (run.dataset.train_size // run.training.batch_size)
    rate = groups.peak_rate(run.optimizer, run.training.batch_size)
    how = {"steps": steps, "bf16": bf16, "channels_last": channels_last}
    schedule = lightly_training.Settings(run.training.batch_size, rate, run.optimizer.weight_decay, **how)
    return lightly_training.Trainer(network, schedule, device)


def compare_losses(run: RunConfig, device: torch.device, *, bf16: bool) -> None:
    """Train both on the same views; raise unless their losses agree."""
    images = COMPARED_STEPS * COMPARED_BATCH
    run = changed(run, {"dataset.train_size": images, "training.batch_size": COMPARED_BATCH})
    data = assembly.load_data(run)
    with hardware.arithmetic(run.training.threads, device):
        training = assembly.training(run, data, device)
        training.objective.train()
        pipeline = planning.pipeline(run, training.objective.plan, data.card)
        theirs = peer(run, device, bf16=bf16, channels_last=True)
        for rows in torch.arange(images).split(COMPARED_BATCH):
            on_device = rows.to(device)
            views = pipeline(training.images.batch(on_device), on_device, 1)
            peer_loss = float(theirs.train_step([views["first"].images, views["second"].images]))
            loss = float(training.train_step(rows, 1).total.detach())
            LOG.info("loss on the same views: ours %.6f, lightly's %.6f", loss, peer_loss)
            torch.testing.assert_close(loss, peer_loss, rtol=2e-2 if bf16 else 1e-3, atol=0)


def contestants(run: RunConfig, data: Data, device: torch.device, options: argparse.Namespace) -> dict[str, Epoch]:
    """The contestants: each call trains one epoch and returns its seconds."""
    made = {"ours": ours(run, data, device)}
    if not options.peer:
        return made
    from tests.benchmarks.peers import lightly_training

    photos = lightly_training.Photos(data.splits["train"].images, data.card.mean, data.card.std)
    loader = lightly_training.loader(photos, run.training.batch_size, options.workers or lightly_training.workers())
    for layout in options.peer_format:
        trainer = peer(run, device, bf16=options.peer_bf16, channels_last=layout == "channels_last")
        made[f"lightly, {layout}"] = lambda trainer=trainer: trainer.run_epoch(loader)
    return made


def time_epochs(made: dict[str, Epoch], epochs: int) -> dict[str, list[float]]:
    """Seconds of each contestant's epochs; the first one includes kernel selection and compilation."""
    seconds = {name: [epoch()] for name, epoch in made.items()}
    for number in range(epochs):
        for name in list(made)[:: 1 if number % 2 else -1]:
            seconds[name].append(made[name]())
    return seconds


def log_results(seconds: dict[str, list[float]], images: int) -> None:
    medians = {name: statistics.median(values[1:]) for name, values in seconds.items()}
    for name, median in medians.items():
        LOG.info(
            "  %-22s %8.2f s per epoch (the first %.2f), %8.1f images/s, ours is %5.2f x as fast",
            name,
            median,
            seconds[name][0],
            images / median,
            median / medians["ours"],
        )
    if images >= WHOLE:
        LOG.info("  200 epochs of ours: %.1f minutes", (seconds["ours"][0] + 199 * medians["ours"]) / 60)


def arguments() -> argparse.Namespace:
    on_gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", choices=list(METHODS), default="simclr")
    parser.add_argument("--batch", type=int, nargs="+", default=[256, 512, 1024] if on_gpu else [32])
    few = "" if on_gpu else "; default: a size that suits a CPU"
    parser.add_argument("--data-size", type=int, default=50_000 if on_gpu else None, help=f"images per epoch{few}")
    parser.add_argument("--epochs", type=int, default=5, help="timed epochs, after one warm-up epoch")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of the loop")
    parser.add_argument("--workers", type=int, help="workers of the peer's DataLoader (default: all cores but one)")
    parser.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto")
    parser.add_argument("--peer-precision", choices=["same", "fp32"], default="same")
    parser.add_argument(
        "--peer-format",
        nargs="*",
        choices=["contiguous", "channels_last"],
        default=["contiguous", "channels_last"],
        help="memory formats in which to time the peer; none to time only ours",
    )
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="change a field of the run")
    return parser.parse_args()


def main() -> None:
    """Compare, then time."""
    options = arguments()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    device = hardware.device()
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"{options.threads} threads of the CPU"
    values = {path: yaml.safe_load(value) for path, value in (text.split("=", 1) for text in options.set)}
    bf16 = hardware.uses_bf16(options.precision, device)
    options.peer_bf16 = bf16 and options.peer_precision == "same"
    options.peer = bool(options.peer_format) and importlib.util.find_spec("lightly") is not None
    if options.peer_format and not options.peer:
        LOG.info("lightly is not installed: timing only ours")
    torch.set_num_threads(options.threads)
    torch.backends.cudnn.benchmark = True
    data: dict[int, Data] = {}
    for batch in options.batch:
        images = options.data_size or max(batch, CPU_IMAGES)
        settings = {"threads": options.threads, "precision": options.precision}
        run = changed(run_config(options.method, images=images, batch=batch, **settings), values)
        if batch == options.batch[0] and options.peer:
            compare_losses(run, device, bf16=bf16)
        if images not in data:
            data[images] = assembly.load_data(run)
        made = contestants(run, data[images], device, options)
        precision = "bf16" if bf16 else "fp32"
        if options.peer and options.peer_bf16 != bf16:
            precision += " (lightly in fp32)"
        steps = images // batch
        LOG.info("%s, batch %d, %d steps per epoch, %s on %s:", options.method, batch, steps, precision, name)
        log_results(time_epochs(made, options.epochs), steps * batch)


if __name__ == "__main__":
    main()
