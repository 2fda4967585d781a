"""The typed section `run:` of a file; each component's `Config` validates its part."""

import copy
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from pydantic import Field, InstanceOf, ValidationError

from augment.config import Config
from orchestrator.config.mistakes import ConfigError, Mistake, show, translate
from orchestrator.config.paths import locate
from orchestrator.config.sections import Named, chosen, named, read
from orchestrator.config.training import TrainingConfig
from orchestrator.core.registry import suggest

Json = dict[str, Any]


@runtime_checkable
class OptimizerSettings(Named, Protocol):
    """What the loop needs of an optimizer's `Config`, which its schedule sets."""

    @property
    def lr(self) -> float:
        """Peak learning rate for a batch of 256 images, > 0; the rate in use is `lr * batch_size / 256`."""
        ...

    @property
    def warmup_epochs(self) -> float:
        """Epochs of linear warm-up, >= 0; fractions are allowed."""
        ...


class AugmentConfig(Config):
    """The augmentation recipes of a run.

    Args:
        strength: scales the ops that can be scaled, in [0, 2.5]; 1 leaves them unchanged, 0 turns them off.
        recipes: for each recipe, its ops in the order of application, each with its own `Config`.
    """

    strength: float = Field(default=1.0, ge=0, le=2.5)
    recipes: dict[str, dict[str, InstanceOf[Config]]]


class RunConfig(Config):
    """Everything that determines the results of one trial on one kind of hardware.

    Build it with `resolve`, which validates the components' sections. If `training.precision` is `auto`, the hardware
    determines the precision, which the card of the exported encoder records.

    Args:
        seed: of every random draw of the run.
        dataset: `orchestrator.datasets.<name>.Config`.
        augment: strength and recipes.
        method: `methods.<name>.Config`.
        addons: by name, `methods.addons.<name>.Config`, in the order in which they rewrite the plan.
        encoder: `methods.encoders.<name>.Config`, the network that is trained and exported.
        optimizer: `orchestrator.training.optimizers.<name>.Config`; `sgd` where a file names none.
        training: length of the training and arithmetic.
        evaluation: by name, `orchestrator.metrics.<name>.Config`.
    """

    seed: int = Field(default=0, ge=0, lt=2**63)
    dataset: InstanceOf[Named]
    augment: AugmentConfig
    method: InstanceOf[Named]
    addons: dict[str, InstanceOf[Config]] = Field(default_factory=dict)
    encoder: InstanceOf[Named]
    optimizer: InstanceOf[OptimizerSettings]
    training: TrainingConfig
    evaluation: dict[str, InstanceOf[Config]]

    def dump(self) -> Json:
        """All fields, defaults included, in YAML's types; `resolve` restores the same config."""
        return self.model_dump(mode="json", serialize_as_any=True)


def resolve(run: Mapping[str, Any]) -> RunConfig:
    """Validate a `run:` section read from YAML and fill in defaults.

    Raises:
        ConfigError: with all mistakes; their paths begin with `run`.
    """
    mistakes: list[Mistake] = []
    fields = list(RunConfig.model_fields)
    for key in run:
        if key not in fields:
            mistakes.append(Mistake(f"run.{key}", f"unknown key{suggest(str(key), fields)}", show(run[key])))
    for key, field in RunConfig.model_fields.items():
        if field.is_required() and key not in run:
            mistakes.append(Mistake(f"run.{key}", "must be given"))
    parts = {key: _section(key, value, mistakes) for key, value in run.items() if key in fields}
    if not mistakes:
        try:
            return RunConfig.model_validate(parts)
        except ValidationError as error:
            mistakes += translate(error, RunConfig, "run")
    raise ConfigError(mistakes)


def with_values(run: Mapping[str, Any], values: Mapping[str, Any]) -> Json:
    """Copy a dumped run and set values at dotted paths, in the given order.

    Raises:
        ConfigError: if a path does not exist (the message suggests the nearest one), or a whole section is invalid.
    """
    changed = copy.deepcopy(dict(run))
    for path, value in values.items():
        *way, last = locate(changed, path)
        place: Any = changed
        for key in way:
            place = place[key]
        place[last] = copy.deepcopy(value)
        if isinstance(value, Mapping):
            changed = resolve(changed).dump()  # a section has fields of its own, which later paths may name
    return changed


def identity(run: RunConfig) -> str:
    """The SHA-256 of a run's settings in hexadecimal; trials with equal settings have equal identities."""
    # Keys keep their order, since the ops of a recipe and the add-ons of a plan are applied in order.
    text = json.dumps(run.dump(), separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _section(key: str, raw: Any, mistakes: list[Mistake]) -> Any:
    """Validate one section of `run` with the component that it configures; `mistakes` receives its errors."""
    path = f"run.{key}"
    if key == "seed":
        return raw
    if not isinstance(raw, Mapping):
        mistakes.append(Mistake(path, "must be a mapping (key: value)", show(raw)))
        return None
    if key == "method":
        return chosen("methods", raw, path, mistakes)
    if key == "encoder":
        return chosen("methods.encoders", raw, path, mistakes)
    if key == "dataset":
        return chosen("orchestrator.datasets", raw, path, mistakes)
    if key == "addons":
        return named("methods.addons", raw, path, mistakes)
    if key == "evaluation":
        return named("orchestrator.metrics", raw, path, mistakes)
    if key == "augment":
        return _augment(raw, mistakes)
    if key == "optimizer":
        return _optimizer({"name": "sgd", **raw}, path, mistakes)
    return read(TrainingConfig, raw, path, mistakes)


def _optimizer(raw: Mapping[str, Any], path: str, mistakes: list[Mistake]) -> Config | None:
    config = chosen("orchestrator.training.optimizers", raw, path, mistakes)
    if config is not None and not isinstance(config, OptimizerSettings):
        mistakes.append(Mistake(f"{path}.name", "its Config must have fields name, lr and warmup_epochs", raw["name"]))
    return config


def _augment(raw: Mapping[str, Any], mistakes: list[Mistake]) -> AugmentConfig | None:
    recipes = raw.get("recipes", {})
    if not isinstance(recipes, Mapping):
        mistakes.append(Mistake("run.augment.recipes", "must be a mapping (recipe: ops)", show(recipes)))
        return None
    read = {name: named("augment.ops", ops, f"run.augment.recipes.{name}", mistakes) for name, ops in recipes.items()}
    try:
        return AugmentConfig.model_validate({**raw, "recipes": read} if "recipes" in raw else dict(raw))
    except ValidationError as error:
        # The ops' errors are in `mistakes` already.
        mistakes += [
            m for m in translate(error, AugmentConfig, "run.augment") if not m.path.startswith("run.augment.recipes.")
        ]
    return None
