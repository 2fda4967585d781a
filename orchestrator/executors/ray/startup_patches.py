"""What of Ray a sweep can do without: seconds of a start that Ray has no public option to save.

`pyproject.toml` holds Ray to one minor version, whose names these are.
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
    """Lets a Ray that is started in the block leave out processes that have nothing to do for a sweep.

    Each of them is a Python that imports Ray again, and Ray waits for the dashboard's before it starts its raylet.

    Args:
        dashboard: whether it is wanted; without its pages, its server would do nothing but report usage.
    """
    with ExitStack() as stack:
        # The one grows clusters, the other carries what workers print to a driver: `ray start` has options for both.
        changed: dict[str, Any] = {"no_monitor": True, "include_log_monitor": False}
        if forked_worker.FORK_SERVER in os.environ:
            changed["setup_worker_path"] = forked_worker.__file__
        stack.enter_context(_replaced(parameter, RayParams=partial(parameter.RayParams, **changed)))
        if not dashboard:
            stack.enter_context(_replaced(services, start_api_server=_no_server))
            # What serves the pages on each node is there all the same, and imports less where their libraries are not.
            stack.enter_context(_replaced(utils, get_dashboard_dependency_error=lambda: ImportError("not wanted")))
        yield


@contextmanager
def environments() -> Iterator[None]:
    """Lets the trials that Tune starts in the block be run by the workers that Ray has ready.

    Tune gives each of them variables of this process, so that Ray starts a process that starts another one for it. On
    this machine a worker has them anyhow, and the one that Tune adds is for a library that is not in use.
    """
    with _replaced(class_cache, DEFAULT_ENV_VARS={}, ENV_VARS_TO_PROPAGATE=frozenset()):
        yield


@contextmanager
def telemetry() -> Iterator[None]:
    """Lets Tune begin without counting callbacks by their kind, for which it imports every tracker that is installed.

    The result is never sent: reports of usage are off.
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
    """What Ray gets where the server has no pages: no address, and here no process either."""
    return "", None


def _not_counted(callbacks: Any) -> bool:
    """Whether anything was recorded."""
    return False
