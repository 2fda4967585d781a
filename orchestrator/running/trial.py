"""One trial inside a Tune actor: a `Context` for the loop whose reports go to Tune and whose files go to the folder."""

from pathlib import Path
from typing import Any

from ray import tune

from orchestrator import build, view_grid
from orchestrator.build import Data
from orchestrator.folder import DISK_FULL, TrialFolder
from orchestrator.spec.config import resolve
from orchestrator.training import checkpoint, export, loop

# Tune flattens what it is given and adds keys of its own; ours are found again by the first part of their name.
_OURS = "report/"
_DIVERGED = "diverged"
_DISK_FULL = "disk full"


class FolderContext:
    """What the loop's surroundings have in common, wherever its reports go: files go into the trial's folder.

    Args:
        folder: of the trial; the place of its checkpoints and of its encoder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._inode = folder.stat().st_ino

    def save_checkpoint(self, state: dict) -> None:
        """Writes the state into the trial's folder."""
        checkpoint.write(self._own_folder(), state)

    def load_checkpoint(self) -> dict | None:
        """The newest readable state of the trial, whichever process wrote it."""
        return checkpoint.read_latest(self._folder)

    def export(self, encoder_state: dict, card: dict) -> None:
        """Writes the finished encoder and its card into the trial's folder."""
        export.write(self._own_folder(), encoder_state, card)

    def _own_folder(self) -> Path:
        """The folder, unless `--fresh` has put it aside: its new namesake is no place for an orphan of the old sweep.

        Raises:
            RuntimeError: it is another one by now.
        """
        if self._folder.stat().st_ino != self._inode:
            raise RuntimeError(f"{self._folder} is another sweep's by now")
        return self._folder


class TuneContext(FolderContext):
    """The loop's surroundings in a one-worker trial."""

    def report(self, metrics: dict[str, float]) -> None:
        """Hands one epoch to the driver, and waits for its word to go on."""
        tune.report(packed(metrics))


def run_trial(config: dict[str, Any], data: Data, dataset: dict[str, Any]) -> None:
    """Trains one trial from its folder, from its newest checkpoint where it has one.

    Args:
        config: what the searcher gave Tune: the trial's `folder`.
        data: shared by all trials, mapped from Ray's object store.
        dataset: the settings that `data` was made with; a trial that tries other ones decodes its own, and so does one
            whose evaluations read more splits.
    """
    folder = TrialFolder(Path(config["folder"]))
    run = resolve(folder.config()["run"])
    if run.dump()["dataset"] != dataset or not data.splits.keys() >= set(build.splits_of(run)):
        data = build.load_data(run)
    try:
        if not folder.views.exists():
            view_grid.write(folder.views, run, data)
        loop.train(run, data, TuneContext(folder.path))
    except loop.Diverged as error:
        tune.report({_DIVERGED: str(error)})
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        tune.report({_DISK_FULL: str(error)})


def packed(metrics: dict[str, float]) -> dict[str, float]:
    """A report of the loop's as Tune is told it."""
    return {_OURS + name: value for name, value in metrics.items()}


def unpack(result: dict[str, Any]) -> dict[str, int | float]:
    """The loop's own report out of what Tune hands on."""
    return {name.removeprefix(_OURS): value for name, value in result.items() if name.startswith(_OURS)}


def divergence(result: dict[str, Any]) -> str | None:
    """Why the trial diverged, or None."""
    return result.get(_DIVERGED)


def full_disk(result: dict[str, Any]) -> str | None:
    """What the trial could not write for want of space, or None."""
    return result.get(_DISK_FULL)
