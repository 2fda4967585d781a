"""MLflow follows a sweep from a thread of its own: slow or down, it neither delays the sweep nor loses it a number."""

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

_FIRST_WAIT, _LONGEST_WAIT = 1.0, 30.0  # seconds between two tries while MLflow does not answer
_LONGEST_ANSWER = 2000  # characters
_SHARE = 0.25  # of one processor, which the sweep needs more: what is reported meanwhile goes in one call


@dataclass(frozen=True)
class Found:
    """What MLflow says a run is.

    Args:
        folder: where the sweep lay when it was tracked.
        sweep: its identity.
        number: of the trial, None for the sweep's own run.
    """

    folder: SweepFolder
    sweep: str
    number: int | None


def find_run(run_id: str, uri: str) -> Found | None:
    """What lies behind an MLflow run id, or None where MLflow has no such run of ours.

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
    """Sends what a trial scored on held-out data; a sentence where that failed, None where it did not."""
    try:
        from orchestrator.tracking.mlflow.mirror import Mirror

        mirror = Mirror(folder, uri)
        if folder.is_locked():
            mirror.send_trial(number, over=False)  # the sweep sends its other trials itself
        else:
            mirror.send_all(over=True)
    except Exception as error:  # the scores are on disk already, whatever MLflow raises
        return (
            f"MLflow at {shown(uri)} did not take the scores ({_said(error)}); they are in "
            f"{folder.trial(number).path}, and the next command of this sweep sends them"
        )
    return None


def send_evaluation(folder: Place, uri: str) -> str | None:
    """Sends the scores of an encoder that no sweep here has trained; a sentence where that failed, else None."""
    found = read_scores(folder)
    try:
        from orchestrator.tracking.mlflow.evaluated import send

        if found is not None:
            send(found, uri)
    except Exception as error:  # the scores are on disk already, whatever MLflow raises
        problem = f"MLflow at {shown(uri)} did not take the scores ({_said(error)}); they are in {folder}"
        return f"{problem}, and the same command sends them"
    return None


class Tracker:
    """Keeps MLflow equal to a sweep folder until it is closed, beginning with what an earlier process could not send.

    Args:
        folder: the sweep; its `sweep.yaml` must be there.
        uri: as `address.tracking_uri` gives it.
    """

    def __init__(self, folder: SweepFolder, uri: str) -> None:
        self._folder, self._uri = folder, uri
        self._condition = threading.Condition()
        self._changed = {trial.number for trial in folder.trials()}
        self._woken = True  # the parent run is wanted even before the first trial
        self._deadline: float | None = None  # on the monotonic clock, once closing
        self._problem: str | None = None
        self._remarks: dict[str, None] = {}  # what MLflow has under another name, or refuses
        # A daemon, so that a server that hangs cannot keep the process alive.
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
        self._thread.start()

    def changed(self, number: int) -> None:
        """Says that a trial's folder holds something new; returns at once."""
        with self._condition:
            self._changed.add(number)
            self._woken = True
            self._condition.notify()

    def close(self, timeout: float) -> list[str]:
        """Sends the rest, marks what has not ended as interrupted, and ends the thread.

        Args:
            timeout: seconds to wait for MLflow at most.

        Returns:
            What went wrong, a sentence each; nothing is lost by it, the same sweep command sends it later.
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
                    # Here, because MLflow takes seconds to import and to make its tables.
                    from orchestrator.tracking.mlflow.mirror import Mirror

                    mirror = Mirror(self._folder, self._uri)
                began, spent = time.monotonic(), time.thread_time()
                self._send(mirror, numbers, over=over)
                self._remarks |= mirror.remarks
            except Exception as error:  # whatever MLflow raises, the sweep goes on, and `close` tells it
                mirror = None  # the next one asks MLflow what it has: an unanswered request may have been carried out
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
        """Waits for something to send; what trials have changed, and whether this is the last time."""
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
        """Waits before the next try, less long once closing; True when there is no time for another one."""
        if self._deadline is None:
            self._pause(wait)
            return False
        if self._deadline - time.monotonic() <= _FIRST_WAIT:
            return True
        time.sleep(_FIRST_WAIT)
        return False

    def _pause(self, seconds: float) -> None:
        """Waits, but not beyond the moment when the sweep wants to end."""
        with self._condition:
            self._condition.wait_for(lambda: self._deadline is not None, max(0.0, seconds))


def _said(error: Exception) -> str:
    """What MLflow says, in one line, and a remedy if a module is missing."""
    # SQLAlchemy appends its statement; a proxy in front of a server may send a page.
    said = " ".join(f"{type(error).__name__}: {error}".partition("[SQL:")[0].split())
    said = said if len(said) <= _LONGEST_ANSWER else f"{said[:_LONGEST_ANSWER]}..."
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ModuleNotFoundError):
        cause = cause.__cause__ or cause.__context__
    return said if cause is None else f"{said}; {install(cause)}"
