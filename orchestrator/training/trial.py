"""One trial in a worker of any executor: a `Context` for the loop that writes to the trial's folder."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from methods.parts.gather import rank, world_size
from orchestrator.config.run import resolve
from orchestrator.core.errors import LESS_MEMORY
from orchestrator.records.folder import TrialFolder, storage_trouble
from orchestrator.storage.place import Place
from orchestrator.training import assembly, checkpoint, export, planning, view_grid
from orchestrator.training.context import Diverged, Report
from orchestrator.training.messages import Tell, give_up, lack_storage, report
from orchestrator.training.metric_values import MetricError
from orchestrator.training.parts import Data


class TrialContext:
    """The loop's `Context` in a worker.

    Args:
        folder: of the trial; the place of its checkpoints and of its encoder.
        tell: sends a message to the driver.
    """

    def __init__(self, folder: TrialFolder, tell: Tell) -> None:
        self._folder, self._tell = folder, tell
        self._version = folder.config_file.version()

    def report(self, metrics: Report) -> None:
        """Hands one epoch to the driver."""
        report(self._tell, metrics)

    def save_checkpoint(self, state: dict) -> None:
        """Writes the state into the trial's folder."""
        checkpoint.write(self._own_folder(), state)

    def load_checkpoint(self) -> dict | None:
        """The newest readable state of the trial, whichever process wrote it."""
        return checkpoint.read_latest(self._folder.path)

    def export(self, encoder_state: dict, card: dict) -> None:
        """Writes the finished encoder and its card into the trial's folder."""
        export.write(self._own_folder(), encoder_state, card)

    def _own_folder(self) -> Place:
        """The folder, unless `--fresh` has put it aside: its new namesake is no place for an orphan of the old sweep.

        Raises:
            RuntimeError: it is another one by now.
        """
        if self._folder.config_file.version() != self._version:
            raise RuntimeError(f"{self._folder.path} is another sweep's by now")
        return self._folder.path


def run_trial(config: dict[str, Any], tell: Tell, data: Data, dataset: dict[str, Any]) -> None:
    """Trains one trial from its folder, from its newest checkpoint where it has one; called by each of its workers.

    Args:
        config: what the searcher gave Tune: the trial's `folder`.
        tell: sends a message to the driver; only the first worker uses it.
        data: shared by all trials, mapped from Ray's object store.
        dataset: the settings that `data` was made with; a trial that tries other ones decodes its own, and so does one
            whose evaluations read more splits. One that separates foregrounds in another way does so itself.
    """
    folder = TrialFolder.parse(config["folder"])
    run = resolve(folder.config()["run"])
    if run.dump()["dataset"] != dataset or not data.splits.keys() >= set(planning.splits(run)):
        data = assembly.load_data(run)
    try:
        data = assembly.with_foregrounds(run, data)  # once for the picture and the training
        if rank() == 0 and not folder.views.exists():
            view_grid.write(folder.views, assembly.views_picture(run, data))
        with _warnings_in(folder.warnings):
            assembly.train(run, data, TrialContext(folder, tell))
    except Diverged as error:  # by all workers alike
        give_up(tell, str(error))
    except (MemoryError, torch.OutOfMemoryError) as error:
        if world_size() > 1:
            raise  # the others wait for this worker
        give_up(tell, out_of_memory(error))
    except MetricError as error:
        _end_by_metric(error, tell)
    except OSError as error:
        trouble = storage_trouble(error)
        if trouble is None:
            raise
        lack_storage(tell, trouble)


def _end_by_metric(error: MetricError, tell: Tell) -> None:
    trouble = storage_trouble(error.__cause__) if isinstance(error.__cause__, OSError) else None
    if trouble is not None:
        lack_storage(tell, trouble)
    elif world_size() > 1 or isinstance(error.__cause__, OSError):
        raise error  # the other workers wait for this one; a file may be there the next time
    else:
        give_up(tell, str(error))


@contextmanager
def _warnings_in(file: Place) -> Iterator[None]:
    """Appends our warnings during the block to a file, because a worker's terminal is not shown.

    Only the first worker's: a file has one writer, and the others meet the same conditions.
    """
    if rank() > 0:
        yield
        return
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: file.append(f"{record.getMessage()}\n")
    house = logging.getLogger("orchestrator")
    house.addHandler(handler)
    try:
        yield
    finally:
        house.removeHandler(handler)


def out_of_memory(error: BaseException) -> str:
    """A trial that asked for too much, in one line with advice."""
    return f"out of memory ({str(error).partition('. ')[0] or type(error).__name__}): {LESS_MEMORY}"
