"""The typed section `sweep:` of a file: objectives, and how to search."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, InstanceOf, model_validator

from augment.config import Config
from orchestrator.config.mistakes import ConfigError, Mistake, show
from orchestrator.config.sections import Named, chosen, read
from orchestrator.core.registry import find
from orchestrator.core.trial_number import MOST_TRIALS

# File systems allow 255 bytes; `--fresh` adds 26 for a date, and a trial's own file 6 for its number.
MAX_NAME_LENGTH = 220


def _folder_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ValueError("names a folder: use letters, digits, dots, dashes and underscores")
    if len(name) > MAX_NAME_LENGTH:
        raise ValueError(f"has {len(name)} characters; use at most {MAX_NAME_LENGTH}, since it names a folder")
    return name


def _one_or_more(given: object) -> object:
    texts = tuple(given) if isinstance(given, list | tuple) else given
    if isinstance(texts, str) or (isinstance(texts, tuple) and len(set(map(str, texts))) == len(texts) > 1):
        return texts
    raise ValueError("text must be given, or for several objectives a list of different ones")


def _directions(given: object) -> object:
    modes = tuple(given) if isinstance(given, list | tuple) else given
    if not all(mode in ("max", "min") for mode in (modes if isinstance(modes, tuple) else [modes])):
        raise ValueError("must be max or min, or for several objectives a list of them")
    return modes


SAMPLERS, SCHEDULERS = "orchestrator.search.samplers", "orchestrator.search.schedulers"
EXECUTORS, TRACKERS = "orchestrator.executors", "orchestrator.tracking"
# For each kind of component, its package and default.
COMPONENTS = {
    "sampler": (SAMPLERS, "tpe"),
    "scheduler": (SCHEDULERS, "asha"),
    "executor": (EXECUTORS, "ray"),
    "tracker": (TRACKERS, "mlflow"),
}
FolderName = Annotated[str, AfterValidator(_folder_name)]
Direction = Literal["max", "min"]
# Checked before pydantic, which would report each member of a union under a path of its own.
Metrics = Annotated[str | tuple[str, ...], BeforeValidator(_one_or_more)]
Modes = Annotated[Direction | tuple[Direction, ...], BeforeValidator(_directions)]


@dataclass(frozen=True)
class Goal:
    """An objective of a search.

    Args:
        metric: name of the metric in the reports.
        mode: whether to maximize or minimize it.
    """

    metric: str
    mode: Direction

    def cost(self, value: float) -> float:
        """The value with its sign such that lower is better."""
        return -value if self.mode == "max" else value


class ConfirmConfig(Config):
    """Retrains the best settings after the search, since the best of noisy trials partly owes its rank to its seed.

    Args:
        top: number of best settings to retrain; all enqueued settings are retrained too, as baselines.
        seeds: number of new seeds, the same for every setting, so that differences are paired.
    """

    top: int = Field(default=3, ge=1)
    seeds: int = Field(default=3, ge=2)


class SweepConfig(Config):
    """How to run a search; no field here changes the results of a trial.

    Build it with `read_sweep`, which validates the components' sections.

    Args:
        name: name of the sweep's folder and its MLflow experiment; defaults to the name of the file.
        trials: total number of trials.
        time_limit: minutes after which the sweep stops and waits for no new epoch, or None for no limit.
        metric: objective, of which the last value counts; a scheduler needs it after every epoch. A list of metrics is
            searched jointly for a Pareto front: the trials that no other trial dominates.
        mode: whether to maximize or minimize the metric; a list if `metric` is one.
        sampler: `orchestrator.search.samplers.<name>.Config`; proposes settings.
        scheduler: `orchestrator.search.schedulers.<name>.Config`; stops trials early.
        executor: `orchestrator.executors.<name>.Config`; runs the trials.
        tracker: `orchestrator.tracking.<name>.Config`; receives the results for comparison.
        concurrency: number of trials that run at a time.
        workers: number of processes per trial.
        cpus_per_worker: CPU cores per worker.
        gpus_per_worker: GPUs per worker; may be a fraction.
        max_failures: how often a crashed trial is restarted from its checkpoint.
        enqueue: settings to try first, each a mapping of searched paths to values.
        seed: seed of the sampler and of the confirmation's seeds.
        confirm: what to retrain at the end, or None.
        keep: number of best trials whose exported encoders are kept; others can be retrained from their files.
    """

    name: FolderName
    trials: int = Field(ge=1, le=MOST_TRIALS)
    time_limit: float | None = Field(default=None, gt=0)
    metric: Metrics
    mode: Modes = "max"
    sampler: InstanceOf[Named] = Field(default_factory=lambda: _default("sampler"))
    scheduler: InstanceOf[Named] = Field(default_factory=lambda: _default("scheduler"))
    executor: InstanceOf[Named] = Field(default_factory=lambda: _default("executor"))
    tracker: InstanceOf[Named] = Field(default_factory=lambda: _default("tracker"))
    concurrency: int = Field(default=1, ge=1)
    workers: int = Field(default=1, ge=1)
    cpus_per_worker: int = Field(default=1, ge=1)
    gpus_per_worker: float = Field(default=0.0, ge=0)
    max_failures: int = Field(default=2, ge=0)
    enqueue: list[dict[str, Any]] = Field(default_factory=list)
    seed: int = Field(default=0, ge=0, lt=2**63)
    confirm: ConfirmConfig | None = None
    keep: int = Field(default=20, ge=1)

    @model_validator(mode="after")
    def _a_mode_for_each_metric(self) -> "SweepConfig":
        wanted, given = (len(one) if isinstance(one, tuple) else 1 for one in (self.metric, self.mode))
        if wanted != given:
            raise ValueError(f"mode must be {f'a list of {wanted}' if wanted > 1 else 'one'}, as many as metric")
        return self

    @property
    def goals(self) -> tuple[Goal, ...]:
        """The objectives; several make the result a Pareto front."""
        metrics = self.metric if isinstance(self.metric, tuple) else (self.metric,)
        modes = self.mode if isinstance(self.mode, tuple) else (self.mode,)
        return tuple(map(Goal, metrics, modes))

    def rungs(self, epochs: int) -> list[int]:
        """Epochs after which the scheduler may stop a trial of `epochs` epochs; empty if it never stops one."""
        return find(SCHEDULERS, self.scheduler.name).rungs(self.scheduler, epochs)

    def dump(self) -> dict[str, Any]:
        """All fields, defaults included, in YAML's types; `read_sweep` restores the same config."""
        return self.model_dump(mode="json", serialize_as_any=True)

    @property
    def most_repeats(self) -> int:
        """Upper bound on the repeats of a confirmation; fewer if a best trial was enqueued or a front is short."""
        if self.confirm is None:
            return 0
        return (min(self.confirm.top, self.trials) + min(len(self.enqueue), self.trials)) * self.confirm.seeds


def read_sweep(section: Mapping[str, Any]) -> SweepConfig:
    """Validate a `sweep:` section read from YAML and fill in defaults.

    Raises:
        ConfigError: with all mistakes; their paths begin with `sweep`.
    """
    mistakes: list[Mistake] = []
    plain = {key: value for key, value in section.items() if key not in COMPONENTS}
    parts = {key: _component(key, section[key], mistakes) for key in COMPONENTS if key in section}
    sweep = read(SweepConfig, plain, "sweep", mistakes)
    if sweep is None or mistakes:
        raise ConfigError(mistakes)
    return sweep.model_copy(update=parts)


def _component(key: str, raw: Any, mistakes: list[Mistake]) -> Config | None:
    """Validate the settings of one component of the sweep; `mistakes` receives the errors."""
    if not isinstance(raw, Mapping):
        mistakes.append(Mistake(f"sweep.{key}", "a mapping (key: value) must be given", show(raw)))
        return None
    package, default = COMPONENTS[key]
    return chosen(package, _renamed(key, {"name": default, **raw}), f"sweep.{key}", mistakes)


def _default(key: str) -> Any:
    package, name = COMPONENTS[key]
    return find(package, name).Config()


def _renamed(key: str, raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """Convert fields of versions before 0.2, in which all samplers, and all schedulers, had the same fields."""
    name, fields = raw["name"], dict(raw)
    if key == "sampler" and "startup" in fields:
        startup = fields.pop("startup")
        return fields if name == "random" else {**fields, "n_startup_trials": startup}
    if key == "scheduler" and name == "none":
        return {field: value for field, value in fields.items() if field not in ("grace", "reduction")}
    return fields
