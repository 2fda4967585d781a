"""The composition root: from a run's settings to the parts that train. The only file that knows all three packages."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import ModuleType

import torch
from torch.optim import Optimizer

from augment.pipeline import Pipeline
from augment.views import Step
from methods.contract import Encoder, Method, Plan
from methods.objective import Objective
from methods.parts.initial import initialise
from orchestrator.config.run import RunConfig
from orchestrator.core import hardware
from orchestrator.core.errors import UserError
from orchestrator.core.registry import find
from orchestrator.data.foregrounds import Separated, lends, separate
from orchestrator.data.images import DatasetCard, ImageSet
from orchestrator.data.on_device import Resident
from orchestrator.data.on_host import Fetched
from orchestrator.data.streamed import Stream, Streamed
from orchestrator.metrics import DEFAULT_SPLITS, Timing
from orchestrator.probing.features import Encode
from orchestrator.training import optimizers, skeletons


@dataclass(frozen=True)
class Data:
    """A configured data set, decoded: made once per node and shared, read-only, by every trial on it.

    Args:
        card: what it is.
        splits: `train`, and what the run's evaluations read.
        stream: where the training images lie if they are not in memory; of `train` a sample is, which is also `bank`.
        separated: `train` taken apart, if the run's views need it.
    """

    card: DatasetCard
    splits: Mapping[str, ImageSet]
    stream: Stream | None = None
    separated: Separated | None = None

    @property
    def nbytes(self) -> int:
        """Size in memory, where splits may share their images."""
        held = (*self.splits.values(), self.stream, self.separated)
        return sum({id(one): one.nbytes for one in held if one is not None}.values())


@dataclass(frozen=True)
class Evaluation:
    """One evaluation of a run: its module in `orchestrator/metrics`, and its settings."""

    module: ModuleType
    config: Timing

    def __call__(self, encode: Encode, splits: Mapping[str, ImageSet]) -> dict[str, float]:
        """Its metrics, by name."""
        return self.module.evaluate(encode, splits, self.config)

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that it reads."""
        return getattr(self.module, "SPLITS", DEFAULT_SPLITS)

    @property
    def needs_labels(self) -> bool:
        """Whether those splits must have labels."""
        return getattr(self.module, "NEEDS_LABELS", False)


def load_data(run: RunConfig) -> Data:
    """Decode the splits that a training reads, which the test splits are not, and take apart what its views need.

    Raises:
        UserError: if a file is damaged, or the views need masks and there are none.
    """
    module = find("orchestrator.datasets", run.dataset.name)
    card, names = module.card(run.dataset), splits_of(run)
    shared = ["bank"] if card.bank_is_train and "bank" in names else []
    splits = {name: module.load(run.dataset, name) for name in names if name not in shared}
    stream = module.stream(run.dataset) if hasattr(module, "stream") else None
    return separated(run, Data(card, splits | {name: splits["train"] for name in shared}, stream))


def separated(run: RunConfig, data: Data) -> Data:
    """The data with its training images taken apart as a run's views need it, which they may be already.

    Raises:
        UserError: if the views need masks, and there are none.
    """
    wanted = plan(run)
    made = _separated(data, wanted, pipeline(run, wanted, data.card).needs, run.seed)
    return data if made is data.separated or made is None else replace(data, separated=made)


def _separated(data: Data, plan: Plan, needs: Collection[str], seed: int) -> Separated | None:
    how, train = plan.separation, data.splits["train"]
    if not needs:
        return None
    if data.separated is not None and data.separated.serves(needs, how, seed):
        return data.separated
    rows = torch.arange(len(train)) if data.stream is None else torch.tensor(data.stream.sample)
    return separate(train, needs=needs, how=how, seed=seed, rows=rows)


def splits_of(run: RunConfig) -> list[str]:
    """The splits that a training reads: what it trains on, and what its evaluations ask for."""
    return list(dict.fromkeys(["train", *(split for one in evaluations(run) for split in one.splits)]))


def encoder(run: RunConfig) -> Encoder:
    """The run's encoder, its weights still to be drawn."""
    return find("methods.encoders", run.encoder.name).build(run.encoder)


def plan(run: RunConfig) -> Plan:
    """The plan that a training of this run follows; its networks get no numbers for it.

    Raises:
        UserError: if an add-on does not fit what it is laid over.
    """
    settings = run.dump()
    return plan_of(run, skeletons.method(json.dumps(settings["method"]), json.dumps(settings["encoder"])))


def plan_of(run: RunConfig, method: Method) -> Plan:
    """The method's plan with the run's recipes, rewritten by each add-on in turn.

    Raises:
        UserError: if an add-on does not fit what it is laid over.
    """
    plan = replace(method.plan(), recipes=recipes(run))
    for name, config in run.addons.items():
        try:
            plan = find("methods.addons", name).rewrite(plan, config)
        except ValueError as error:
            raise UserError(f"run.addons.{name} does not fit run.method.name = {run.method.name}: {error}") from error
    return plan


def objective(run: RunConfig) -> Objective:
    """The whole objective with its initial weights, which depend on the seed and on nothing else.

    Raises:
        UserError: if an add-on does not fit the method.
    """
    network = encoder(run)
    method = find("methods", run.method.name).Method(run.method, network)
    plan = plan_of(run, method)
    losses = {}
    for name, config in run.addons.items():
        module = find("methods.addons", name)
        if hasattr(module, "Loss"):
            # Modules inside modules cannot have a dot in their name, as a user's own add-on has.
            losses[name.replace(".", "_")] = module.Loss(config, network.num_features, plan)
    try:
        built = Objective(method, plan, losses)
    except ValueError as error:
        raise UserError(f"run.method.name = {run.method.name} cannot follow its plan: {error}") from error
    initialise(built, run.seed)
    return built


def recipes(run: RunConfig) -> dict[str, Sequence[Step]]:
    """Every recipe's ops in order, those that can be scaled at the run's strength."""
    steps = {}
    for recipe, ops in run.augment.recipes.items():
        steps[recipe] = []
        for name, config in ops.items():
            op = find("augment.ops", name)
            if hasattr(op, "scaled"):
                config = op.scaled(config, run.augment.strength)
            steps[recipe].append(Step(name, op, config))
    return steps


def pipeline(run: RunConfig, plan: Plan, card: DatasetCard) -> Pipeline:
    """What makes a plan's views.

    Raises:
        UserError: if a view wants a recipe that the run does not have, or one op twice.
    """
    try:
        return Pipeline(plan.views, plan.recipes, mean=card.mean, std=card.std, seed=run.seed)
    except ValueError as error:
        raise UserError(f"run.augment.recipes do not fit run.method.name = {run.method.name}: {error}") from error


def images(run: RunConfig, data: Data, plan: Plan, device: torch.device) -> Resident | Fetched | Streamed:
    """What a plan's views are made of, to be had in batches: on the device if there is room for it.

    Raises:
        UserError: if the plan needs masks, and there are none or too few that are usable.
    """
    needs = pipeline(run, plan, data.card).needs
    how = {"needs": needs, "separated": _separated(data, plan, needs, run.seed), "seed": run.seed}
    if data.stream is not None:
        return Streamed(data.stream, data.splits["train"], device, **how)
    # What others borrow from lies there in any case, and is as much again.
    if lends(needs) or hardware.has_room(device, data.splits["train"].nbytes):
        return Resident(data.splits["train"], device, **how)
    return Fetched(data.splits["train"], device, **how)


def optimizer(run: RunConfig, objective: Objective) -> Optimizer:
    """The optimiser over the objective's parameter groups."""
    return optimizers.build(run.optimizer, objective.parameter_groups(), run.training.batch_size)


def evaluations(run: RunConfig) -> list[Evaluation]:
    """The run's evaluations in the order of its file.

    Raises:
        UserError: if one's `Config` does not say when it is due.
    """
    made = []
    for name, config in run.evaluation.items():
        if not isinstance(config, Timing):
            raise UserError(f"run.evaluation.{name}: its Config must extend orchestrator.metrics.Timing")
        made.append(Evaluation(find("orchestrator.metrics", name), config))
    return made
