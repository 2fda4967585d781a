"""Detects that a sweep's Ray was stopped from outside, before Ray's library ends the process after a minute."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray._private import worker as ray_worker

_INTERVAL = 1.0  # seconds between checks
_CONNECT = 5.0  # seconds for a cluster's head to accept a connection
# Seconds that a cluster's head may be away: one with fault tolerance comes back. Ray's library ends the process at 60.
_ABSENCE = 35.0


@contextmanager
def watched(lost: Callable[[str], None]) -> Iterator[None]:
    """Checks the Ray of this process once a second while the block runs.

    Args:
        lost: called from another thread at most once, with what has ended, as in "the Ray cluster at HOST:PORT".
    """
    over = threading.Event()
    gone = _private_gone if _is_private() else _joined_gone(ray.get_runtime_context().gcs_address)

    def watch() -> None:
        while not over.wait(_INTERVAL):
            what = gone()
            if what is not None:
                lost(what)
                return

    thread = threading.Thread(target=watch, name="ray liveness", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()


def has_ended() -> bool:
    """Whether the Ray of this process has ended, so that calls into it would not return."""
    if not ray.is_initialized():
        return False
    if _is_private():
        return _private_gone() is not None
    return not _answers(ray.get_runtime_context().gcs_address)


def _is_private() -> bool:
    return ray_worker._global_node is not None and ray_worker._global_node.is_head()


def _private_gone() -> str | None:
    node: Any = ray_worker._global_node
    dead = set() if node is None else {kind for kind, _ in node.dead_processes()}
    return "the Ray of this sweep" if dead & {"raylet", "gcs_server"} else None


def _joined_gone(address: str) -> Callable[[], str | None]:
    absent_since: float | None = None

    def gone() -> str | None:
        nonlocal absent_since
        if _answers(address):
            absent_since = None
        elif absent_since is None:
            absent_since = time.monotonic()
        elif time.monotonic() - absent_since > _ABSENCE:
            return f"the Ray cluster at {address}"
        return None

    return gone


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), _CONNECT).close()
    except OSError:
        return False
    return True
