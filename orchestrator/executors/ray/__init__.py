"""Runs trials on Ray. Ray reads environment variables at import, so they are set here, before any module imports it."""

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from augment.config import Config as BaseConfig
from orchestrator.executors.contract import Executor, Work
from orchestrator.storage.place import Place

if TYPE_CHECKING:
    from orchestrator.config.sweep import SweepConfig
    from orchestrator.search.ledger import Ledger

# Read by Ray when it is imported or started. Not for a user to change: without clusters, on Linux too, Ray listens on
# 127.0.0.1 only.
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
# Read by workers too, so passed to the nodes of a cluster. Values that the user has set are kept.
FOR_WORKERS = {
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a trial that asks for no GPU sees none
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # how soon Train notices that a worker died or finished
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "300",  # allows for a busy machine, or a node that is still starting
}
for _name, _value in {
    **FOR_WORKERS,
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",  # with verbose=0 the older output engine is silent, the newer is not
    "RAY_worker_niceness": "0",  # otherwise trials starve on a machine with other work
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",  # Tune's own snapshots are never read
}.items():
    os.environ.setdefault(_name, _value)


class Config(BaseConfig):
    """Has no settings: `--address` selects the cluster, and `sweep` says what a worker needs.

    Args:
        name: `ray`.
    """

    name: str = "ray"


def prepared(address: str | None) -> AbstractContextManager[None]:
    """Start a server that forks workers of a private Ray: it imports their modules while the command starts."""
    from orchestrator.executors.ray.fork_server import fork_server

    return fork_server() if address is None else nullcontext()


def build(config: Config, sweep: "SweepConfig", address: str | None) -> Executor:
    """A private Ray on this machine, or the cluster at `address`."""
    return _Ray(sweep, address)


class _Ray:
    """Imports Ray only when trials have to run: a finished sweep is shown without it."""

    def __init__(self, sweep: "SweepConfig", address: str | None) -> None:
        self._sweep, self._address = sweep, address
        self.on_this_machine = address is None
        self.starting = "starting Ray" if address is None else f"joining the Ray cluster at {address}"

    def check(self) -> None:
        if self._address is not None:
            from orchestrator.executors.ray.cluster_checks import locate

            self._address = locate(self._address)

    def ready(self, folder: Place, *, data_bytes: int) -> AbstractContextManager[None]:
        from orchestrator.executors.ray.cluster import cluster

        self._log = folder.scratch() / "ray.log"
        return cluster(self._sweep, data_bytes=data_bytes, log=self._log, address=self._address, storage=str(folder))

    def run(self, ledger: "Ledger", work: Work, *, shared: Mapping[str, Any], is_over: Callable[[], bool]) -> None:
        from orchestrator.executors.ray.cluster import output_in
        from orchestrator.executors.ray.executor import execute

        with output_in(self._log):
            execute(ledger, work, shared=shared, is_over=is_over)
