"""Rules between the sections of a file, and between a file and the machine."""

import json
from collections.abc import Mapping
from functools import lru_cache

import torch

from methods.contract import Plan
from orchestrator.config.mistakes import Mistake
from orchestrator.config.run import RunConfig
from orchestrator.config.sweep import Goal, SweepConfig
from orchestrator.core.errors import UserError
from orchestrator.core.registry import find, suggest
from orchestrator.data.images import DatasetCard
from orchestrator.metrics import Timing
from orchestrator.storage.place import Place
from orchestrator.training import planning

LOSS = "loss"  # reported after every epoch of every run
# A placeholder: a pipeline is built to validate the settings before the data are read.
_UNSEEN = DatasetCard(None, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 0, 0, licence="", fingerprint="", variants=())
_REJECTIONS = (ValueError, RuntimeError, AssertionError)  # of an encoder; timm rejects sizes by an assertion


def check_run(run: RunConfig) -> list[Mistake]:
    """Violations of the rules between the sections of a run; the data is read only if its settings are valid."""
    return check_settings(run) or check_on_data(run)


def check_settings(run: RunConfig) -> list[Mistake]:
    """Violations of the rules that can be checked without reading the data."""
    mistakes: list[Mistake] = []
    epochs, warmup = run.training.epochs, run.optimizer.warmup_epochs
    if warmup >= epochs:
        law = f"must be less than the whole budget, run.training.epochs = {epochs}"
        mistakes.append(Mistake("run.optimizer.warmup_epochs", law, f"{warmup:g}"))
    if unusable := _encoder_mistakes(run, set()):
        return mistakes + unusable  # a method needs an encoder
    try:
        planning.metrics(run)
        plan = planning.plan(run)
        planning.pipeline(run, plan, _UNSEEN)
        mistakes += _encoder_mistakes(run, {view.size for view in plan.views.values() if view.size is not None})
        settings = run.dump()
        if reason := _method_rejection(json.dumps(settings["method"]), json.dumps(settings["encoder"])):
            mistakes.append(Mistake("run.method", reason))
    except UserError as error:
        mistakes.append(Mistake("", str(error)))
    except ValueError as error:  # a rule of `plan` between the method's fields
        mistakes.append(Mistake("run.method", str(error)))
    return mistakes


def check_on_data(run: RunConfig) -> list[Mistake]:
    """Requirements of a run that its data does not meet; this decodes the user's own images.

    Args:
        run: a run with valid settings.
    """
    try:
        card, plan = find("orchestrator.datasets", run.dataset.name).card(run.dataset), planning.plan(run)
    except UserError as error:
        return [Mistake("", str(error))]
    if not card.train_size:
        law = "must have images to train on; as set up here it has those of a test alone, which `evaluate` takes"
        return [Mistake("run.dataset.name", law, run.dataset.name)]
    mistakes = _encoder_mistakes(run, {card.size}) + _mask_mistakes(run, plan, card)
    return mistakes + _batch_mistakes(run, card) + _split_mistakes(run, card) + _label_mistakes(run, card, plan)


def check_sweep(sweep: SweepConfig, run: RunConfig, *, searched: bool) -> list[Mistake]:
    """Violations of the rules between a sweep and its run.

    Args:
        sweep: the section `sweep:`.
        run: settings that the trials share.
        searched: whether the file searches any field.
    """
    mistakes = check_trial(sweep, run, epochs=run.training.epochs)
    if sweep.workers > 1 and 0 < sweep.gpus_per_worker < 1:
        law = "must be 0, 1 or more with several workers (sweep.workers): two of one trial cannot share a GPU"
        mistakes.append(Mistake("sweep.gpus_per_worker", law, f"{sweep.gpus_per_worker:g}"))
    if sweep.trials > 1 and not searched:
        law = "trials = 1 must hold where search is empty, since all would be the same"
        mistakes.append(Mistake("sweep.trials", law, str(sweep.trials)))
    return mistakes


def check_trial(sweep: SweepConfig, run: RunConfig, *, epochs: int) -> list[Mistake]:
    """Reasons why a sweep cannot compare a trial with the others.

    Args:
        sweep: the section `sweep:`.
        run: settings of the trial, searched values included.
        epochs: budget from which the rungs are computed.
    """
    stops = bool(sweep.rungs(epochs))
    mistakes = _metric_mistakes(sweep, run, stops=stops)
    batch, each = run.training.batch_size, run.training.batch_size // sweep.workers
    if batch % sweep.workers or each < 2:
        law = f"must be a multiple of {sweep.workers} (sweep.workers), and 2 or more for each; it is the whole batch"
        mistakes.append(Mistake("run.training.batch_size", law, str(batch)))
    if stops and run.training.epochs != epochs:
        law = (
            f"epochs = {epochs} must hold, the budget of which {sweep.scheduler.name} takes its rungs; "
            "fix it, or set sweep.scheduler.name to none"
        )
        mistakes.append(Mistake("run.training.epochs", law, str(run.training.epochs)))
    return mistakes


def check_data(run: RunConfig) -> None:
    """Verify the data set's files, if its module supports it.

    Raises:
        UserError: if one is missing or damaged.
    """
    module = find("orchestrator.datasets", run.dataset.name)
    if hasattr(module, "verify"):
        module.verify(run.dataset)


def check_storage(storage: Place, name: str) -> None:
    """Check that the sweep's folder can be written; leaves no file behind.

    Args:
        storage: parent of the sweep folders.
        name: name of the sweep.

    Raises:
        UserError: if it cannot be written; the message names the cause.
    """
    try:
        (storage / name).check()
    except OSError as error:
        raise UserError(f"--storage {storage}: {error}") from error


def _batch_mistakes(run: RunConfig, card: DatasetCard) -> list[Mistake]:
    if run.training.batch_size <= card.train_size:
        return []
    law = f"exceeds the {card.train_size} training images; use at most {card.train_size}"
    return [Mistake("run.training.batch_size", law, str(run.training.batch_size))]


def _mask_mistakes(run: RunConfig, plan: Plan, card: DatasetCard) -> list[Mistake]:
    """Augmentations that need masks if the data set has none."""
    if card.has_masks or not planning.pipeline(run, plan, card).needs:
        return []
    law = "must have masks, since other backgrounds are asked for; choose another one, or drop run.addons.background"
    return [Mistake("run.dataset.name", law, run.dataset.name)]


def _split_mistakes(run: RunConfig, card: DatasetCard) -> list[Mistake]:
    """Evaluations of splits that the data set lacks."""
    return [
        Mistake(
            f"run.evaluation.{name}",
            f"reads {', '.join(missing)}, which run.dataset.name = {run.dataset.name} does not have; drop it",
        )
        for name, one in zip(run.evaluation, planning.metrics(run), strict=True)
        if (missing := [split for split in one.splits if split not in card.splits])
    ]


def _label_mistakes(run: RunConfig, card: DatasetCard, plan: Plan) -> list[Mistake]:
    """Components that need labels if the data set has none, or a different number of classes."""
    law = f"needs labels, and run.dataset.name = {run.dataset.name} as set up here has none; "
    mistakes = [
        Mistake(f"run.evaluation.{name}", law + "drop it, and use view_retrieval and collapse")
        for name, one in zip(run.evaluation, planning.metrics(run), strict=True)
        if one.needs_labels and not all(card.labelled(split) for split in one.splits)
    ]
    if any(pair.key_from == "labels" for pair in plan.pairs) and not card.labelled("train"):
        mistakes.append(Mistake("run.method.name", law + "choose another method", run.method.name))
    num_classes = getattr(run.method, "num_classes", card.num_classes)
    if card.num_classes is not None and num_classes != card.num_classes:
        law = f"num_classes = {card.num_classes} must hold, the number of classes of run.dataset.name = "
        mistakes.append(Mistake("run.method.num_classes", law + run.dataset.name, str(num_classes)))
    return mistakes


def _metric_mistakes(sweep: SweepConfig, run: RunConfig, *, stops: bool) -> list[Mistake]:
    mistakes = [mistake for goal in sweep.goals if (mistake := _goal_mistake(goal, sweep, run, stops=stops))]
    if len(sweep.goals) > 1 and stops:
        # Ranking by one objective at a rung would stop the trials at the other end of the front.
        law = "name = none must hold with several metrics, since stopping by one would lose the best in another"
        mistakes.append(Mistake("sweep.scheduler.name", law, sweep.scheduler.name))
    return mistakes


def _goal_mistake(goal: Goal, sweep: SweepConfig, run: RunConfig, *, stops: bool) -> Mistake | None:
    made_by = {
        metric: name for name in run.evaluation for metric in getattr(find("orchestrator.metrics", name), "METRICS", ())
    }
    if goal.metric == LOSS:
        return Mistake("sweep.mode", "mode = min must hold with the metric loss", "max") if goal.mode == "max" else None
    retired = {old: new for name in run.evaluation for old, new in _retired(name).items()}
    if goal.metric in retired:
        new = retired[goal.metric]
        law = f"is measured as {new} now, and their values do not compare; write {new}"
        return Mistake("sweep.metric", f"{law}, with --fresh if its sweep was begun with the old metric", goal.metric)
    if goal.metric not in made_by:
        nearest = suggest(goal.metric, [*made_by, LOSS])
        return Mistake("sweep.metric", f"no evaluation of this run makes it{nearest}", goal.metric)
    name = made_by[goal.metric]
    timing = run.evaluation[name]
    if stops and isinstance(timing, Timing) and timing.every != 1:
        law = f"every = 1 must hold, since sweep.metric = {goal.metric} is wanted of every epoch"
        law += f" by sweep.scheduler.name = {sweep.scheduler.name}"
        return Mistake(f"run.evaluation.{name}.every", law, "null" if timing.every is None else str(timing.every))
    return None


def _retired(evaluation: str) -> Mapping[str, str]:
    """Metrics of an evaluation in earlier versions, mapped to their replacements."""
    return getattr(find("orchestrator.metrics", evaluation), "RETIRED", {})


def _encoder_mistakes(run: RunConfig, sizes: set[int]) -> list[Mistake]:
    """Reasons why the encoder cannot be built, or cannot encode images of the given sizes in pixels."""
    settings = json.dumps(run.dump()["encoder"])
    if reason := _rejection(settings, None):
        return [Mistake("run.encoder", reason, run.encoder.name)]
    return [
        Mistake("run.encoder", f"cannot encode the run's images of {size} x {size} pixels: {reason}", run.encoder.name)
        for size in sorted(sizes)
        if (reason := _rejection(settings, size))
    ]


@lru_cache(maxsize=64)
def _rejection(encoder: str, size: int | None) -> str:
    """Why an encoder cannot be built, or cannot encode images of a size; empty if it can.

    Cached because a search space is checked at hundreds of settings, most of which share one encoder.

    Args:
        encoder: settings of the encoder in JSON.
        size: side of the images in pixels, or None to build only.
    """
    module = find("methods.encoders", json.loads(encoder)["name"])
    try:
        with torch.device("meta"):  # without allocating or computing weights
            built = module.build(module.Config.model_validate_json(encoder))
            if size is not None and not built.any_size:
                built(torch.empty(2, 3, size, size))  # torch imports its compiler for this: two seconds
    except _REJECTIONS as error:
        return str(error) or type(error).__name__
    return ""


@lru_cache(maxsize=32)
def _method_rejection(method: str, encoder: str) -> str:
    """Why a method cannot be built on a valid encoder; empty if it can. Both arguments are settings in JSON."""
    methods, encoders = (
        find(package, json.loads(settings)["name"])
        for package, settings in (("methods", method), ("methods.encoders", encoder))
    )
    try:
        with torch.device("meta"):
            network = encoders.build(encoders.Config.model_validate_json(encoder))
            methods.Method(methods.Config.model_validate_json(method), network)
    except ValueError as error:  # a rule of the constructor between the method's fields
        return str(error)
    return ""
