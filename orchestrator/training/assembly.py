"""The composition root: builds everything that a run's settings name and hands each part what it needs.

Commands and workers call it; nothing that it builds does.
"""

from collections.abc import Collection
from dataclasses import replace

import torch
from PIL import Image
from torch.optim import Optimizer

from methods.contract import Encoder, Plan
from methods.objective import Objective
from methods.parts.initial import init_weights
from orchestrator.config.run import RunConfig
from orchestrator.core import hardware
from orchestrator.core.errors import UserError
from orchestrator.core.registry import find
from orchestrator.data.foregrounds import Foregrounds, lends, separate
from orchestrator.data.on_device import DeviceImages
from orchestrator.data.on_host import HostImages
from orchestrator.data.streamed import StreamedImages
from orchestrator.training import compiling, groups, loop, planning, view_grid
from orchestrator.training.baselines import Scores, measured
from orchestrator.training.context import Context
from orchestrator.training.parts import Data, Images, MakeViews, Parts


def train(run: RunConfig, data: Data, context: Context) -> None:
    """Train a run from its newest checkpoint, or from the start, and export the encoder.

    Args:
        run: everything that decides the numbers.
        data: its images.
        context: takes reports, checkpoints and the encoder.

    Raises:
        Diverged: if a loss or a metric is no longer finite; on all ranks.
        UserError: if the checkpoint belongs to another run, or the settings leave nothing to train.
        RuntimeError: if another rank is gone, or the ranks' weights differ.
    """
    device = hardware.device()
    with hardware.arithmetic(run.training.threads, device):
        loop.train(training(run, data, device), context)


def training(run: RunConfig, data: Data, device: torch.device) -> loop.Training:
    """A training at its first step, with all its parts on a device.

    Raises:
        UserError: if the settings leave nothing to train, or need masks that the images do not have.
    """
    built = objective(run).to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    source = images(run, data, built.plan, device)
    parts = Parts(
        objective=built,
        optimizer=optimizer(run, built),
        images=source,
        pipeline=_views(run, data, built.plan, len(source), device),
        metrics=planning.metrics(run),
    )
    return loop.Training(run, data, parts, device)


def baselines(run: RunConfig, data: Data) -> dict[str, Scores]:
    """The run's metrics of its untrained encoder (see `calibrated`), and of the pixels themselves.

    Raises:
        ValueError: if a metric needs labels and there are none.
    """
    device = hardware.device()
    with hardware.arithmetic(run.training.threads, device):
        scores = measured(objective(run).encoder.to(device), planning.metrics(run), data)
    if device.type == "cuda":
        torch.cuda.empty_cache()  # the driver measures this beside trials that may need the memory
    return scores


def views_picture(run: RunConfig, data: Data) -> Image.Image:
    """A picture of the run's first images and of every view that epoch 1 makes of them."""
    plan = planning.plan(run)
    # All images, not only those shown: each may lend its background to another.
    source = images(run, data, plan, torch.device("cpu"))
    return view_grid.draw(source, planning.pipeline(run, plan, data.card), data.card)


def load_data(run: RunConfig) -> Data:
    """Decode the splits that a training reads (not the test splits), and separate foregrounds if its views need it.

    Raises:
        UserError: if a file is damaged, or the views need masks and there are none.
    """
    module = find("orchestrator.datasets", run.dataset.name)
    card, names = module.card(run.dataset), planning.splits(run)
    shared = ["bank"] if card.bank_is_train and "bank" in names else []
    splits = {name: module.load(run.dataset, name) for name in names if name not in shared}
    stream = module.stream(run.dataset) if hasattr(module, "stream") else None
    return with_foregrounds(run, Data(card, splits | {name: splits["train"] for name in shared}, stream))


def with_foregrounds(run: RunConfig, data: Data) -> Data:
    """The data with the foregrounds and backgrounds that the run's views need; unchanged if it has them.

    Raises:
        UserError: if the views need masks, and there are none.
    """
    plan = planning.plan(run)
    made = _foregrounds(data, plan, planning.pipeline(run, plan, data.card).needs, run.seed)
    return data if made is data.foregrounds or made is None else replace(data, foregrounds=made)


def images(run: RunConfig, data: Data, plan: Plan, device: torch.device) -> Images:
    """The training images in batches: on the device if it has room for them.

    Raises:
        UserError: if the plan needs masks, and there are none or too few that are usable.
    """
    needs = planning.pipeline(run, plan, data.card).needs
    how = {"needs": needs, "foregrounds": _foregrounds(data, plan, needs, run.seed), "seed": run.seed}
    if data.stream is not None:
        return StreamedImages(data.stream, data.splits["train"], device, **how)
    # Images that lend their backgrounds are on the device in any case, and take as much memory again.
    if lends(needs) or hardware.has_room(device, data.splits["train"].nbytes):
        return DeviceImages(data.splits["train"], device, **how)
    return HostImages(data.splits["train"], device, **how)


def encoder(run: RunConfig) -> Encoder:
    """The run's encoder, before its weights are drawn."""
    return find("methods.encoders", run.encoder.name).build(run.encoder)


def objective(run: RunConfig) -> Objective:
    """The whole objective with its initial weights, which depend on the seed alone.

    Raises:
        UserError: if an add-on does not fit the method, or the method rejects its settings.
    """
    network, plan = encoder(run), planning.plan(run)
    try:
        method = find("methods", run.method.name).Method(run.method, network)
    except ValueError as error:
        raise UserError(f"run.method: {error}") from error
    losses = {}
    for name, config in run.addons.items():
        module = find("methods.addons", name)
        if hasattr(module, "Loss"):
            # nn.Module does not allow dots in the names of submodules; a user's own add-on has one.
            losses[name.replace(".", "_")] = module.Loss(config, network.num_features, plan)
    try:
        built = Objective(method, plan, losses)
    except ValueError as error:
        raise UserError(f"run.method.name = {run.method.name} cannot follow its plan: {error}") from error
    init_weights(built, run.seed)
    return built


def optimizer(run: RunConfig, objective: Objective) -> Optimizer:
    """The optimizer over the objective's parameter groups."""
    peak = groups.peak_rate(run.optimizer, run.training.batch_size)
    module = find("orchestrator.training.optimizers", run.optimizer.name)
    return module.build(run.optimizer, groups.prepared(objective.parameter_groups(), peak), peak)


def _views(run: RunConfig, data: Data, plan: Plan, count: int, device: torch.device) -> MakeViews:
    """The plan's pipeline, compiled if that pays for so many images."""
    made = planning.pipeline(run, plan, data.card)
    sides = [data.card.size if view.size is None else view.size for view in plan.views.values()]
    pixels = run.training.epochs * count * sum(side**2 for side in sides)
    return compiling.compiled(made) if compiling.worthwhile(run.training.compile, device, pixels) else made


def _foregrounds(data: Data, plan: Plan, needs: Collection[str], seed: int) -> Foregrounds | None:
    how, train = plan.separation, data.splits["train"]
    if not needs:
        return None
    if data.foregrounds is not None and data.foregrounds.serves(needs, how, seed):
        return data.foregrounds
    rows = torch.arange(len(train)) if data.stream is None else torch.tensor(data.stream.sample)
    return separate(train, needs=needs, how=how, seed=seed, rows=rows)
