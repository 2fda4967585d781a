"""Sends a sweep to MLflow from a background thread, so that a slow or failing MLflow neither delays nor loses data."""

import logging
import sqlite3
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.core.errors import UserError
from orchestrator.records.folder import SweepFolder
from orchestrator.records.test_scores import read_scores
from orchestrator.storage.path import parse
from orchestrator.storage.place import Place
from orchestrator.tracking.mlflow.address import install, shown

if TYPE_CHECKING:
    from orchestrator.tracking.mlflow.mirror import Mirror

logger = logging.getLogger(__name__)

_FIRST_WAIT, _LONGEST_WAIT = 1.0, 30.0  # seconds between retries while MLflow does not answer
_LONGEST_ANSWER = 2000  # characters
_SHARE = 0.25  # of one CPU core that the thread may use; reports that arrive meanwhile are sent in one call


@dataclass(frozen=True)
class Found:
    """What a run in MLflow belongs to.

    Args:
        folder: the sweep's folder when it was tracked.
        sweep: the sweep's identity.
        number: number of the trial, or None for the parent run.
    """

    folder: SweepFolder
    sweep: str
    number: int | None


def find_run(run_id: str, uri: str) -> Found | None:
    """Look up the sweep and trial of an MLflow run id; None if MLflow has no such run or another program made it.

    Raises:
        UserError: if MLflow does not answer.
    """
    from orchestrator.tracking.mlflow.client import MlflowException, connect, is_there
    from orchestrator.tracking.mlflow.mirror import describe_run

    try:
        tags = describe_run(connect(uri), run_id) if is_there(uri) else None
    except (MlflowException, sqlite3.Error) as error:
        raise UserError(f"MLflow at {shown(uri)} does not answer: {_said(error)}") from error
    if tags is None or "sweep" not in tags:
        return None
    number = None if tags["trial"] == "parent" else int(tags["trial"])
    return Found(SweepFolder(parse(tags["folder"])), tags["sweep"], number)


def send_scores(folder: SweepFolder, number: int, uri: str) -> str | None:
    """Send a trial's scores on held-out data; return None, or a sentence about the failure."""
    try:
        from orchestrator.tracking.mlflow.mirror import Mirror

        mirror = Mirror(folder, uri)
        if folder.is_locked():
            mirror.send_trial(number, over=False)  # the sweep sends its other trials itself
        else:
            mirror.send_all(over=True)
    except Exception as error:  # any exception of MLflow: the scores are on disk already
        return (
            f"MLflow at {shown(uri)} did not take the scores ({_said(error)}); they are in "
            f"{folder.trial(number).path}, and the next command of this sweep sends them"
        )
    return None


def send_evaluation(folder: Place, uri: str) -> str | None:
    """Send the scores of an encoder that no sweep trained; return None, or a sentence about the failure."""
    found = read_scores(folder)
    try:
        from orchestrator.tracking.mlflow.evaluated import send

        if found is not None:
            send(found, uri)
    except Exception as error:  # any exception of MLflow: the scores are on disk already
        problem = f"MLflow at {shown(uri)} did not take the scores ({_said(error)}); they are in {folder}"
        return f"{problem}, and the same command sends them"
    return None


class Tracker:
    """Keeps MLflow in sync with a sweep folder until closed; first sends what earlier processes could not.

    Args:
        folder: of the sweep; its `sweep.yaml` must exist.
        uri: as returned by `address.tracking_uri`.
    """

    def __init__(self, folder: SweepFolder, uri: str) -> None:
        self._folder, self._uri = folder, uri
        self._condition = threading.Condition()
        self._changed = {trial.number for trial in folder.trials()}
        self._woken = True  # the parent run is created even before the first trial
        self._deadline: float | None = None  # on the monotonic clock, once closing
        self._problem: str | None = None
        self._remarks: dict[str, None] = {}  # values that MLflow renames or rejects
        # A daemon thread, so that a hanging server cannot keep the process alive.
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
        self._thread.start()

    def changed(self, number: int) -> None:
        """Record that a trial's folder has changed; returns immediately."""
        with self._condition:
            self._changed.add(number)
            self._woken = True
            self._condition.notify()

    def close(self, timeout: float) -> list[str]:
        """Send the rest, mark unfinished runs as interrupted, and end the thread.

        Args:
            timeout: seconds to wait for MLflow at most.

        Returns:
            A sentence for each problem; nothing is lost, since the same sweep command sends the rest later.
        """
        with self._condition:
            self._deadline = time.monotonic() + timeout
            self._woken = True
            self._condition.notify()
        self._thread.join(timeout)
        if not self._thread.is_alive() and self._problem is None:
            return list(self._remarks)
        reason = self._problem or f"no answer within {timeout:g} s"
        return [
            f"MLflow at {shown(self._uri)} does not have all of sweep {self._folder.name} yet ({reason}); "
            f"nothing is lost: it is in {self._folder.path}, and the same command sends it when MLflow is back"
        ]

    def _work(self) -> None:
        mirror = None
        wait = _FIRST_WAIT
        while True:
            numbers, over = self._next()
            try:
                if mirror is None:
                    # Created lazily so that MLflow's import and table setup, which take seconds, do not delay startup.
                    from orchestrator.tracking.mlflow.mirror import Mirror

                    mirror = Mirror(self._folder, self._uri)
                began, spent = time.monotonic(), time.thread_time()
                self._send(mirror, numbers, over=over)
                self._remarks |= mirror.remarks
            except Exception as error:  # any exception of MLflow: the sweep continues, and `close` reports it
                mirror = None  # a new mirror queries MLflow, since an unanswered request may have succeeded
                self._note(error, numbers)
                if self._gives_up(wait):
                    return
                wait = min(2 * wait, _LONGEST_WAIT)
            else:
                self._problem, wait = None, _FIRST_WAIT
                if over:
                    return
                self._pause((time.thread_time() - spent) / _SHARE - (time.monotonic() - began))

    def _next(self) -> tuple[set[int], bool]:
        """Wait for something to send; return the changed trials, and whether this is the last call."""
        with self._condition:
            self._condition.wait_for(lambda: self._woken or self._deadline is not None)
            numbers, self._changed, self._woken = self._changed, set(), False
            return numbers, self._deadline is not None

    def _send(self, mirror: "Mirror", numbers: set[int], *, over: bool) -> None:
        if over:
            mirror.send_all(over=True)
        else:
            for number in sorted(numbers):
                mirror.send_trial(number, over=False)
            mirror.send_sweep(over=False)

    def _note(self, error: Exception, numbers: set[int]) -> None:
        if self._problem is None:
            logger.warning(
                "MLflow at %s does not answer; the sweep goes on and its numbers are sent later", shown(self._uri)
            )
        self._problem = _said(error)
        with self._condition:
            self._changed |= numbers
            self._woken = True

    def _gives_up(self, wait: float) -> bool:
        """Wait before the next retry, briefly once closing; return True if no time is left for one."""
        if self._deadline is None:
            self._pause(wait)
            return False
        if self._deadline - time.monotonic() <= _FIRST_WAIT:
            return True
        time.sleep(_FIRST_WAIT)
        return False

    def _pause(self, seconds: float) -> None:
        """Wait, but at most until the tracker is closed."""
        with self._condition:
            self._condition.wait_for(lambda: self._deadline is not None, max(0.0, seconds))


def _said(error: Exception) -> str:
    """The error in one line, with a remedy if a module is missing."""
    # SQLAlchemy appends the SQL statement; a proxy may send a whole page.
    said = " ".join(f"{type(error).__name__}: {error}".partition("[SQL:")[0].split())
    said = said if len(said) <= _LONGEST_ANSWER else f"{said[:_LONGEST_ANSWER]}..."
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ModuleNotFoundError):
        cause = cause.__cause__ or cause.__context__
    return said if cause is None else f"{said}; {install(cause)}"
