"""What a run's settings say before anything is built or loaded: its plan, pipeline, metrics and splits."""

from collections.abc import Sequence
from dataclasses import replace

from augment.pipeline import Pipeline
from augment.views import Step
from methods.contract import Plan
from orchestrator.config.run import RunConfig
from orchestrator.core.errors import UserError
from orchestrator.core.registry import find
from orchestrator.data.images import DatasetCard
from orchestrator.metrics import Timing
from orchestrator.training.parts import Metric


def plan(run: RunConfig) -> Plan:
    """The method's plan with the run's recipes, rewritten by each add-on in turn.

    Raises:
        UserError: if the method's module has no `plan`, or an add-on does not fit the plan.
        ValueError: if the method rejects its own settings.
    """
    method = find("methods", run.method.name)
    if not hasattr(method, "plan"):
        raise UserError(
            f"run.method.name = {run.method.name}: its module must define plan(config) -> Plan; Method.plan(self) is "
            "no longer called, so move it out of the class"
        )
    made: Plan = replace(method.plan(run.method), recipes=recipes(run))
    for name, config in run.addons.items():
        try:
            made = find("methods.addons", name).rewrite(made, config)
        except ValueError as error:
            raise UserError(f"run.addons.{name} does not fit run.method.name = {run.method.name}: {error}") from error
    return made


def recipes(run: RunConfig) -> dict[str, Sequence[Step]]:
    """The ops of every recipe in order; ops that can be scaled have the run's strength."""
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
    """Makes the views of a plan.

    Raises:
        UserError: if a view names a recipe that the run does not have, or one op twice.
    """
    try:
        return Pipeline(plan.views, plan.recipes, mean=card.mean, std=card.std, seed=run.seed)
    except ValueError as error:
        raise UserError(f"run.augment.recipes do not fit run.method.name = {run.method.name}: {error}") from error


def metrics(run: RunConfig) -> list[Metric]:
    """The run's metrics in the order of its file.

    Raises:
        UserError: if the module of one is not what the contract of `orchestrator.metrics` asks for.
    """
    made = []
    for name, config in run.evaluation.items():
        module = find("orchestrator.metrics", name)
        if not isinstance(config, Timing):
            raise UserError(f"run.evaluation.{name}: its Config must extend orchestrator.metrics.Timing")
        if not callable(getattr(module, "evaluate", None)):
            raise UserError(f"run.evaluation.{name}: its module must define evaluate(encode, splits, config)")
        named = getattr(module, "METRICS", None)
        if not isinstance(named, tuple | list) or not named or not all(isinstance(one, str) for one in named):
            raise UserError(f"run.evaluation.{name}: its module must define METRICS, a tuple of the metrics' names")
        made.append(Metric(module, config))
    return made


def splits(run: RunConfig) -> list[str]:
    """The splits that a training reads: its training images, and what its metrics ask for."""
    return list(dict.fromkeys(["train", *(split for metric in metrics(run) for split in metric.splits)]))
