"""The section `sweep:` of a file, typed: what is searched for, and how."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from augment.config import Config
from orchestrator.config.mistakes import ConfigError, Mistake
from orchestrator.config.sections import read
from orchestrator.core.trial_number import MOST_TRIALS


def _folder_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ValueError("must be made of letters, digits, dots, dashes and underscores, for it names a folder")
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


class SamplerConfig(Config):
    """Who proposes settings.

    Args:
        name: `tpe` learns from the trials so far, `random` is the control.
        startup: trials, enqueued ones included, that must have ended before `tpe` proposes any but random settings.
    """

    name: Literal["tpe", "random"] = "tpe"
    startup: int = Field(default=10, ge=1)


class SchedulerConfig(Config):
    """Who stops trials early.

    Args:
        name: `asha` stops a trial that is not among the best at a rung, `none` lets all finish.
        grace: share of the epoch budget before the first rung, in (0, 1].
        reduction: one of so many trials goes on at each rung; also the ratio between rungs.
    """

    name: Literal["asha", "none"] = "asha"
    grace: float = Field(default=1 / 3, gt=0, le=1)
    reduction: int = Field(default=2, ge=2)

    def rungs(self, epochs: int) -> list[int]:
        """The epochs after which a trial of so many may be stopped, the first after the grace."""
        if self.name == "none":
            return []
        rungs = [max(1, math.ceil(self.grace * epochs))]
        while rungs[-1] * self.reduction < epochs:
            rungs.append(rungs[-1] * self.reduction)
        return [rung for rung in rungs if rung < epochs]


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

    Args:
        name: of the sweep's folder and of its MLflow experiment; the file's own name where it is left out.
        trials: how many there shall be in the end.
        time_limit: minutes after which no new epoch is waited for, or None.
        metric: what is searched for, by its last value; a scheduler needs it after every epoch. Several in a list are
            searched together, and what is found is a Pareto front: the trials that no other one beats.
        mode: whether more or less of it is better; a list beside a list.
        sampler: who proposes settings.
        scheduler: who stops trials early.
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
    sampler: SamplerConfig = Field(default_factory=SamplerConfig)
    scheduler: SchedulerConfig = Field(default_factory=SchedulerConfig)
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
    sweep = read(SweepConfig, section, "sweep", mistakes)
    if sweep is None:
        raise ConfigError(mistakes)
    return sweep
