"""Which encoders a sweep keeps, and how much storage it uses."""

from collections.abc import Mapping

from orchestrator.config.sweep import SweepConfig
from orchestrator.records.folder import SweepFolder
from orchestrator.records.leaderboard import costs
from orchestrator.search.formatting import count, leading
from orchestrator.search.trial_state import Trial
from orchestrator.storage.path import in_bytes


class Retention:
    """Keeps the encoders of the best finished trials, and removes all others.

    Those that lead the search come first, a whole Pareto front, then all by the first metric, repeats among them.

    Args:
        folder: of the sweep, locked by the caller.
        sweep: says how many to keep, and what is better.
    """

    def __init__(self, folder: SweepFolder, sweep: SweepConfig) -> None:
        self._folder, self._sweep = folder, sweep
        self._there = {trial.number for trial in folder.with_encoder()}

    def ended(self, number: int) -> None:
        """Record that a trial has ended and may have exported an encoder."""
        self._there.add(number)

    def drop(self, trials: Mapping[int, Trial]) -> None:
        """Remove the encoders that are not kept; those of unfinished trials are left alone."""
        over = [trials[n] for n in self._there if n in trials and trials[n].is_over]
        finished = [trial for trial in over if trial.state == "finished"]
        leaders = [trial.number for trial in leading(finished, self._sweep)]
        finished.sort(key=lambda trial: (*costs(trial.values_of(self._sweep.goals), self._sweep.goals), trial.number))
        ranked = list(dict.fromkeys([*leaders, *(trial.number for trial in finished)]))
        for number in {trial.number for trial in over} - set(ranked[: self._sweep.keep]):
            self._folder.trial(number).encoder_weights.unlink(missing_ok=True)
            self._there.remove(number)


def holdings(folder: SweepFolder) -> str:
    """The size of a sweep's folder and its number of encoders, as text."""
    encoders = count(len(folder.with_encoder()), "encoder")
    return f"{in_bytes(folder.path.size())} in {folder.path.display()}, {encoders}"
