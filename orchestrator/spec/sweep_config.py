"""The section `sweep:` of a file, typed: what is searched for, and how."""

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from augment.config import Config
from orchestrator.spec.mistakes import ConfigError, Mistake
from orchestrator.spec.sections import read


def _folder_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ValueError("must be made of letters, digits, dots, dashes and underscores, for it names a folder")
    return name


FolderName = Annotated[str, AfterValidator(_folder_name)]


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


class SweepConfig(Config):
    """How a search is run; nothing here changes the numbers of a trial.

    Args:
        name: of the sweep's folder and of its MLflow experiment; the file's own name where it is left out.
        trials: how many there shall be in the end.
        time_limit: minutes after which no new epoch is waited for, or None.
        metric: what is searched for; a metric that every epoch reports.
        mode: whether more or less of it is better.
        sampler: who proposes settings.
        scheduler: who stops trials early.
        concurrency: trials at a time.
        workers: processes per trial.
        cpus_per_worker: CPU cores that each of them takes.
        gpus_per_worker: GPUs, or the share of one.
        max_failures: how often a crashed trial is tried again from its checkpoint.
        enqueue: settings to try first, each a mapping of searched paths to values.
        seed: of the sampler.
    """

    name: FolderName
    trials: int = Field(ge=1)
    time_limit: float | None = Field(default=None, gt=0)
    metric: str
    mode: Literal["max", "min"] = "max"
    sampler: SamplerConfig = Field(default_factory=SamplerConfig)
    scheduler: SchedulerConfig = Field(default_factory=SchedulerConfig)
    concurrency: int = Field(default=1, ge=1)
    workers: int = Field(default=1, ge=1)
    cpus_per_worker: int = Field(default=1, ge=1)
    gpus_per_worker: float = Field(default=0.0, ge=0)
    max_failures: int = Field(default=2, ge=0)
    enqueue: list[dict[str, Any]] = Field(default_factory=list)
    seed: int = Field(default=0, ge=0, lt=2**63)


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
