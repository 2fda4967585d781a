"""Ray as a stateless executor: every start begins from the sweep's folder, and nothing of Ray's is kept."""

import _thread
import logging
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

# Read by Ray when it is imported or started. Not for a user to change: without clusters, on Linux too, Ray listens on
# 127.0.0.1 only.
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
# `setdefault`, so that a user can still say otherwise.
for _name, _value in {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",  # with verbose=0 the older output engine is silent, the newer is not
    "RAY_worker_niceness": "0",  # else trials starve on a machine that does anything besides
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a trial that asks for no GPU sees none
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",  # Tune's own snapshots are never read
}.items():
    os.environ.setdefault(_name, _value)

import ray  # noqa: E402
from ray import tune  # noqa: E402
from ray.tune.experiment import Trial  # noqa: E402

from orchestrator.errors import UserError  # noqa: E402
from orchestrator.folder import write_text  # noqa: E402
from orchestrator.running.ledger import Ledger  # noqa: E402
from orchestrator.running.scheduler import LedgerScheduler  # noqa: E402
from orchestrator.running.searcher import LedgerSearcher  # noqa: E402
from orchestrator.running.wording import last_error  # noqa: E402
from orchestrator.spec.sweep_config import SweepConfig  # noqa: E402

logger = logging.getLogger(__name__)

# What Ray needs in its object store beside the data.
_STORE_MARGIN = 256 * 1024**2


@contextmanager
def cluster(sweep: SweepConfig, data_bytes: int, log: Path) -> Iterator[None]:
    """A Ray of our own on this machine, closed to others, for as long as the block runs.

    Args:
        sweep: what a worker needs, checked against what the machine has.
        data_bytes: size of what will be put into the object store.
        log: takes what Ray would print; whoever wants to write to the terminal meanwhile holds its stream already.

    Raises:
        UserError: no worker would ever fit this machine, or Ray does not come up on it.
    """
    with log.open("a", encoding="utf-8") as file, redirect_stdout(file), redirect_stderr(file):
        try:
            _start(object_store_bytes=data_bytes + _STORE_MARGIN, log=log)
            address = ray.util.get_node_ip_address()
            if address != "127.0.0.1":
                raise UserError(f"Ray must listen on 127.0.0.1 alone, got {address}; import {__name__} before ray")
            resources = ray.cluster_resources()
            for field, unit in (("cpus_per_worker", "CPU"), ("gpus_per_worker", "GPU")):
                wanted, there = getattr(sweep, field), resources.get(unit, 0)
                if wanted > there:
                    raise UserError(f"sweep.{field} <= {there:g} must hold on this machine, got {wanted:g}")
            yield
        finally:
            ray.shutdown()


def _start(*, object_store_bytes: int, log: Path) -> None:
    try:
        with _signal_handlers_kept():
            ray.init(
                address="local",
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.CRITICAL,  # what goes wrong is told by the ledger
                object_store_memory=object_store_bytes,
            )
    except Exception as error:  # Ray raises bare ones, as when its node takes too long on a busy machine
        why = str(error).partition("\n")[0]
        raise UserError(
            f"Ray did not start: {why} (more in {log}); when the machine is less busy, the same command goes on"
        ) from error


@contextmanager
def _signal_handlers_kept() -> Iterator[None]:
    """Lets nobody replace a signal handler while the block runs.

    `ray.init` takes SIGTERM for itself. Its handler raises SystemExit wherever the main thread happens to be; inside a
    `__del__`, a callback or a broad `except` nobody sees that again, the signal is lost, and the sweep never ends. Ray
    has no option to leave it. It does so off the main thread, but its processes die with the thread that starts them.

    Its native library takes SIGTERM too, in front of Python: it writes a stack trace first, and aborts the process if
    that takes over three seconds, as on a busy machine. Setting a handler anew puts Python in front again.
    """
    replace = signal.signal
    signal.signal = lambda signalnum, handler: signal.getsignal(signalnum)
    try:
        yield
    finally:
        signal.signal = replace
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))


class Interruption(tune.Stopper):
    """Ends the executor early, leaving its unfinished trials to the next start.

    The first SIGINT or SIGTERM ends it cleanly, the second at once; nothing finished is lost either way.

    Args:
        ledger: told to hand out nothing more.
        minutes: time limit from now, or None.
        notify: called with a sentence when it begins, from any thread.
    """

    def __init__(self, ledger: Ledger, minutes: float | None, notify: Callable[[str], None]) -> None:
        self._ledger, self._notify = ledger, notify
        self._minutes = minutes
        self._deadline = None if minutes is None else time.monotonic() + 60 * minutes
        self.signal: int | None = None
        self.out_of_time = False

    def install(self) -> None:
        """Takes over SIGINT and SIGTERM."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.receive)

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune puts it into snapshots, which nobody reads

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """No trial is stopped alone."""
        return False

    def stop_all(self) -> bool:
        """Whether it is time to go."""
        if not self.out_of_time and self._deadline is not None and time.monotonic() > self._deadline:
            self.out_of_time = True
            self._ledger.close(f"its time limit of {self._minutes:g} min is over (sweep.time_limit)")
            self._notify("the time limit is over: stopping; the same command goes on")
        return self._ledger.closing is not None

    def receive(self, number: int, frame: object = None) -> None:
        """What a signal does; it writes nothing itself, since it may have come in the middle of a writing."""
        if self.signal is not None:
            os._exit(128 + number)
        self.signal = number
        self._ledger.close(f"it was stopped by {signal.Signals(number).name}")
        # `threading` takes a lock that the interrupted code may hold.
        _thread.start_new_thread(self._notify, ("stopping; once more stops at once",))


class _Events(tune.Callback):
    """Tells the ledger of starts and crashes, which neither searcher nor scheduler hear of in full."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._ledger.started(trial.config["number"])

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._ledger.crashed(trial.config["number"], self._reason(trial))

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._ledger.failed(trial.config["number"], self._reason(trial))

    def _reason(self, trial: Trial) -> str:
        """The last error of a trial in one line; the whole of it goes into `error.txt` beside its reports."""
        assert trial.error_file is not None
        text = Path(trial.error_file).read_text(encoding="utf-8")
        with self._ledger.closed_when_full():
            write_text(Path(trial.config["folder"]) / "error.txt", text)
        return last_error(text)


def execute(
    ledger: Ledger, run_trial: Callable[..., None], *, shared: Mapping[str, Any], interruption: Interruption
) -> None:
    """Runs what the ledger hands out until there is nothing left, or until the interruption.

    Args:
        ledger: hands out trials and takes their events.
        run_trial: Tune's trainable; called in a worker with the trial's `config` and `shared`.
        shared: put into the object store once, mapped by every worker.
        interruption: ends it early.
    """
    sweep = ledger.sweep
    trainable = tune.with_resources(
        tune.with_parameters(run_trial, **shared), {"CPU": sweep.cpus_per_worker, "GPU": sweep.gpus_per_worker}
    )
    try:
        with tempfile.TemporaryDirectory(prefix="augsweep-") as scratch:
            # Not `Tuner`, which wants to pickle searcher and callbacks for a restore that we never ask for.
            tune.run(
                trainable,
                name="trials",
                storage_path=scratch,
                search_alg=LedgerSearcher(ledger),
                scheduler=LedgerScheduler(ledger),
                stop=interruption,
                callbacks=[_Events(ledger)],
                num_samples=-1,  # the searcher says when it is over
                max_concurrent_trials=sweep.concurrency,
                max_failures=sweep.max_failures,
                raise_on_failed_trial=False,
                reuse_actors=True,
                verbose=0,
            )
    except (OSError, tune.TuneError) as error:
        logger.exception("Tune gave up")  # the whole of it into the folder's ray.log
        ledger.close(f"Ray gave up ({type(error).__name__}: {str(error).strip().rpartition(chr(10))[2]}), see ray.log")
