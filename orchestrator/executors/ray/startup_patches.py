"""Parts of Ray that a sweep does not need, left out to start seconds faster; Ray has no public options for it.

`pyproject.toml` pins Ray to one minor version, because these names are private.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from types import ModuleType
from typing import Any

from ray._private import parameter, services, utils
from ray.air._internal import usage
from ray.tune.execution import class_cache

from orchestrator.executors.ray import forked_worker


@contextmanager
def processes(*, dashboard: bool) -> Iterator[None]:
    """Start Ray in the block without the processes that a sweep does not use.

    Each is a Python process that imports Ray again, and Ray waits for the dashboard before it starts its raylet.

    Args:
        dashboard: whether to start it; without its pages, its server would only report usage.
    """
    with ExitStack() as stack:
        # The autoscaler, and the monitor that prints workers' output in the driver; `ray start` has options for both.
        changed: dict[str, Any] = {"no_monitor": True, "include_log_monitor": False}
        if forked_worker.FORK_SERVER in os.environ:
            changed["setup_worker_path"] = forked_worker.__file__
        stack.enter_context(_replaced(parameter, RayParams=partial(parameter.RayParams, **changed)))
        if not dashboard:
            stack.enter_context(_replaced(services, start_api_server=_no_server))
            # The dashboard agent of each node still starts; it imports less if the pages' libraries seem to be missing.
            stack.enter_context(_replaced(utils, get_dashboard_dependency_error=lambda: ImportError("not wanted")))
        yield


@contextmanager
def environments() -> Iterator[None]:
    """Run the trials that Tune starts in the block on workers that Ray has ready.

    Tune passes variables of this process to each trial, for which Ray starts a process that starts another one. On this
    machine workers inherit the variables, and the one that Tune adds is for a library that is not used.
    """
    with _replaced(class_cache, DEFAULT_ENV_VARS={}, ENV_VARS_TO_PROPAGATE=frozenset()):
        yield


@contextmanager
def telemetry() -> Iterator[None]:
    """Start Tune without counting callbacks by type, for which it imports every installed tracker.

    The counts are never sent: usage reports are off.
    """
    with _replaced(usage, tag_callbacks=_not_counted):
        yield


@contextmanager
def _replaced(module: ModuleType, **names: Any) -> Iterator[None]:
    before = {name: getattr(module, name) for name in names}
    vars(module).update(names)
    try:
        yield
    finally:
        vars(module).update(before)


def _no_server(*given: Any, **named: Any) -> tuple[str, None]:
    """Replaces the start of the dashboard's server: no address and no process."""
    return "", None


def _not_counted(callbacks: Any) -> bool:
    """Whether anything was recorded."""
    return False
