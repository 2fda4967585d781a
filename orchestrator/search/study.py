"""The stored Optuna study: suggests settings, and decides whether a trial stops early.

Suggestion n depends on the sweep's seed, on n and on the study's content, not on the process that asks: a continued
sweep makes the same suggestions as an uninterrupted one.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from augment.draws import derive_seed
from orchestrator.config.search_space import Space
from orchestrator.config.sweep import SAMPLERS, SCHEDULERS, SweepConfig
from orchestrator.core.registry import find
from orchestrator.records.folder import damaged
from orchestrator.search.journal import Journal
from orchestrator.search.samplers import Seeds
from orchestrator.search.trial_state import End
from orchestrator.storage.path import parse
from orchestrator.storage.place import Place

optuna.logging.set_verbosity(optuna.logging.WARNING)

# Attribute of a trial: the newest rung at which it was allowed to continue.
_CLEARED = "cleared"


class StoredStudy:
    """An Optuna study in a journal; the caller holds the sweep's lock, so there is no other writer.

    Args:
        journal: its file, created if it does not exist.
        sweep: sampler, scheduler, modes and seed.
        space: the dimensions.
        epochs: budget of a trial, from which the scheduler derives its rungs.
    """

    def __init__(self, journal: Place | Path, sweep: SweepConfig, *, space: Space, epochs: int) -> None:
        self._space = space
        self._live: dict[int, optuna.Trial] = {}
        self._rungs = sweep.rungs(epochs)
        self._stops = partial(find(SCHEDULERS, sweep.scheduler.name).should_stop, sweep.scheduler)
        sampler = partial(find(SAMPLERS, sweep.sampler.name).sampler, sweep.sampler)
        self._storage = _replayed(parse(journal))
        self._study = optuna.create_study(
            study_name=sweep.name,
            storage=self._storage,
            sampler=AddressedSampler(sampler, sweep.seed),
            directions=["maximize" if goal.mode == "max" else "minimize" for goal in sweep.goals],
            load_if_exists=True,
        )

    def __len__(self) -> int:
        """The number of trials asked for so far, enqueued ones included."""
        return len(self._trials())

    def enqueue(self, settings: Sequence[Mapping[str, Any]]) -> None:
        """Add known-good settings before all suggestions; settings already enqueued are left unchanged."""
        for values in settings[len(self) :]:
            self._study.enqueue_trial(self._space.params(values))

    def ask(self) -> int:
        """Open the next trial and return its number."""
        waiting = [trial.number for trial in self._trials() if trial.state == TrialState.WAITING]
        number = min(waiting, default=len(self))
        self._live[number] = self._study.ask()
        return number

    def values(self, number: int) -> dict[str, Any]:
        """The settings of a trial by dotted path, the same for every call and every process."""
        stored = self._stored(number)
        return self._space.suggest(stored if stored.state.is_finished() else self._trial(number))

    def state(self, number: int) -> TrialState:
        """The state of a trial in Optuna's terms."""
        return self._stored(number).state

    def report(self, number: int, value: float, epoch: int) -> None:
        """Store one epoch's value of the metric, unless the epoch is already stored or the value is not finite.

        With several metrics nothing is stored: Optuna does not support it, and no rung needs it.
        """
        if (
            len(self._study.directions) == 1
            and math.isfinite(value)
            and epoch not in self._stored(number).intermediate_values
        ):
            self._trial(number).report(value, epoch)

    def should_stop(self, number: int) -> bool:
        """Whether to stop the trial after its newest value, which the scheduler decides at its rungs.

        A decision to continue is stored and final, whatever other trials report at the rung later. A decision to stop
        is made again after a crash, from the same values.
        """
        rung = (trial := self._stored(number)).last_step
        if rung not in self._rungs or trial.user_attrs.get(_CLEARED) == rung:
            return False
        sign = -1 if self._study.direction == StudyDirection.MAXIMIZE else 1
        values = {other.number: other.intermediate_values.get(rung) for other in self._trials()}
        if self._stops(number, {other: sign * value for other, value in values.items() if value is not None}):
            return True
        self._trial(number).set_user_attr(_CLEARED, rung)
        return False

    def tell(self, number: int, end: End, value: float | Sequence[float] | None = None) -> None:
        """Close a trial; a stopped one keeps its values by epoch, a failed one has none that the sampler uses.

        Args:
            number: of the trial.
            end: how it ended.
            value: of a finished one, a value for each metric.
        """
        if end == "finished":
            self._study.tell(number, value, skip_if_finished=True)
        else:
            state = TrialState.PRUNED if end == "stopped" else TrialState.FAIL
            self._study.tell(number, state=state, skip_if_finished=True)
        self._live.pop(number, None)

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _stored(self, number: int) -> FrozenTrial:
        # Not out of `_trials`, which goes through them all: a journal of one study names its trials by their numbers.
        return self._storage.get_trial(number)

    def _trial(self, number: int) -> optuna.Trial:
        if number not in self._live:
            self._live[number] = optuna.Trial(self._study, number)
        return self._live[number]


class AddressedSampler(BaseSampler):
    """Any sampler, with its own seed for each trial and parameter: no draw depends on earlier draws.

    Args:
        make: returns the sampler for given seeds.
        seed: of the sweep.
    """

    def __init__(self, make: Callable[[Seeds], BaseSampler], seed: int) -> None:
        self._make, self._seed = make, seed
        self._joint = make(Seeds(draw=seed, sweep=seed))

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The parameters that are drawn jointly."""
        self._joint = self._sampler(trial.number)
        return self._joint.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draw them, with the sampler that named them."""
        return self._joint.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Draw one parameter on its own."""
        return self._sampler(trial.number, param_name).sample_independent(study, trial, param_name, param_distribution)

    def _sampler(self, *address: int | str) -> BaseSampler:
        return self._make(Seeds(draw=derive_seed(self._seed, "suggest", *address), sweep=self._seed))


def _replayed(journal: Place) -> optuna.storages.JournalStorage:
    """What a journal makes of the study.

    Raises:
        UserError: if it is damaged.
    """
    logs = Journal(journal)
    try:
        return optuna.storages.JournalStorage(logs)
    except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        # Each line is JSON, but not what Optuna writes.
        raise damaged(journal, f"Optuna cannot replay it: {type(error).__name__}: {error}") from error
