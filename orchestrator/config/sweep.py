"""The section `sweep:` of a file, typed: what is searched for, and how."""

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

# A file system allows 255 bytes, of which `--fresh` takes 26 for a date and a trial's own file 6 for its number.
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
# Where the components of each kind are, and which one is used if the file names none.
COMPONENTS = {
    "sampler": (SAMPLERS, "tpe"),
    "scheduler": (SCHEDULERS, "asha"),
    "executor": (EXECUTORS, "ray"),
    "tracker": (TRACKERS, "mlflow"),
}
FolderName = Annotated[str, AfterValidator(_folder_name)]
Direction = Literal["max", "min"]
# Looked at before pydantic does, which would complain of each side of a union by its own path.
Metrics = Annotated[str | tuple[str, ...], BeforeValidator(_one_or_more)]
Modes = Annotated[Direction | tuple[Direction, ...], BeforeValidator(_directions)]


@dataclass(frozen=True)
class Goal:
    """An objective of a search.

    Args:
        metric: by the name that the reports give it.
        mode: whether more or less of it is better.
    """

    metric: str
    mode: Direction

    def cost(self, value: float) -> float:
        """The value, turned so that less is better."""
        return -value if self.mode == "max" else value


class ConfirmConfig(Config):
    """What is trained again once the search is over: a winner among noisy trials owes something to its seed.

    Args:
        top: how many of the best settings; beside them every enqueued one is trained again, for it is what they must
            beat.
        seeds: new ones, the same for every setting, so that differences are paired.
    """

    top: int = Field(default=3, ge=1)
    seeds: int = Field(default=3, ge=2)


class SweepConfig(Config):
    """How a search is run; nothing here changes the numbers of a trial.

    Build it with `read_sweep`, which reads the components' sections.

    Args:
        name: of the sweep's folder and of its MLflow experiment; the file's own name where it is left out.
        trials: the total number.
        time_limit: minutes after which no new epoch is waited for, or None.
        metric: what is searched for, by its last value; a scheduler needs it after every epoch. Several in a list are
            searched together, and what is found is a Pareto front: the trials that no other one beats.
        mode: whether more or less of it is better; a list beside a list.
        sampler: `orchestrator.search.samplers.<name>.Config`, what proposes settings.
        scheduler: `orchestrator.search.schedulers.<name>.Config`, what stops trials early.
        executor: `orchestrator.executors.<name>.Config`, what runs the trials.
        tracker: `orchestrator.tracking.<name>.Config`, where results are compared.
        concurrency: trials at a time.
        workers: processes per trial.
        cpus_per_worker: CPU cores that each of them takes.
        gpus_per_worker: GPUs, or the share of one.
        max_failures: how often a crashed trial is tried again from its checkpoint.
        enqueue: settings to try first, each a mapping of searched paths to values.
        seed: of the sampler, and of the seeds of the confirmation.
        confirm: what is trained again at the end, or None.
        keep: of how many of the best trials the exported encoder stays; any other can be trained again from its file.
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
        """What is searched for; more than one makes a Pareto front."""
        metrics = self.metric if isinstance(self.metric, tuple) else (self.metric,)
        modes = self.mode if isinstance(self.mode, tuple) else (self.mode,)
        return tuple(map(Goal, metrics, modes))

    def rungs(self, epochs: int) -> list[int]:
        """The epochs after which the scheduler may stop a trial of so many; empty if it stops none."""
        return find(SCHEDULERS, self.scheduler.name).rungs(self.scheduler, epochs)

    def dump(self) -> dict[str, Any]:
        """Every field with its value, defaults included, in YAML's own types; `read_sweep` takes it back unchanged."""
        return self.model_dump(mode="json", serialize_as_any=True)

    @property
    def most_repeats(self) -> int:
        """How many repeats a confirmation can take; fewer where one of the best was enqueued or a front is short."""
        if self.confirm is None:
            return 0
        return (min(self.confirm.top, self.trials) + min(len(self.enqueue), self.trials)) * self.confirm.seeds


def read_sweep(section: Mapping[str, Any]) -> SweepConfig:
    """A `sweep:` section as read from YAML, typed and complete.

    Raises:
        ConfigError: with every mistake in it, its paths beginning with `sweep`.
    """
    mistakes: list[Mistake] = []
    plain = {key: value for key, value in section.items() if key not in COMPONENTS}
    parts = {key: _component(key, section[key], mistakes) for key in COMPONENTS if key in section}
    sweep = read(SweepConfig, plain, "sweep", mistakes)
    if sweep is None or mistakes:
        raise ConfigError(mistakes)
    return sweep.model_copy(update=parts)


def _component(key: str, raw: Any, mistakes: list[Mistake]) -> Config | None:
    """The settings of one component of the sweep; what is wrong with them goes to `mistakes`."""
    if not isinstance(raw, Mapping):
        mistakes.append(Mistake(f"sweep.{key}", "a mapping (key: value) must be given", show(raw)))
        return None
    package, default = COMPONENTS[key]
    return chosen(package, _renamed(key, {"name": default, **raw}), f"sweep.{key}", mistakes)


def _default(key: str) -> Any:
    package, name = COMPONENTS[key]
    return find(package, name).Config()


def _renamed(key: str, raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings in today's names: until 0.2 all samplers had the same fields, and so had all schedulers."""
    name, fields = raw["name"], dict(raw)
    if key == "sampler" and "startup" in fields:
        startup = fields.pop("startup")
        return fields if name == "random" else {**fields, "n_startup_trials": startup}
    if key == "scheduler" and name == "none":
        return {field: value for field, value in fields.items() if field not in ("grace", "reduction")}
    return fields
