"""A lease on a prefix of an object store, which has no locks: a process writes a claim and lists the others.

Each claim is an object of its own, written first; then all claims are listed. A consistent store (S3 since 2020) shows
the other claim at least to the later of two processes, and a process that sees a live claim withdraws. A claim is
rewritten while its process lives, and ages are compared by the store's own clock.
"""

import json
import os
import platform
import signal
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.storage.held import HeldError
from orchestrator.storage.s3 import UnavailableError

if TYPE_CHECKING:
    from orchestrator.storage.object_store import ObjectPlace

SECONDS = 60  # after which a claim that was not renewed has run out
_RENEWAL = 10  # seconds
_TRIES = 3  # of two that meet both withdraw, and come back at different moments


@contextmanager
def held(claims: "ObjectPlace") -> Iterator[None]:
    """Has a place for this process alone; where that is lost all the same, ends the process as SIGTERM does.

    Args:
        claims: the prefix of all claims on it.

    Raises:
        HeldError: another process has it.
    """
    own = claims / uuid.uuid4().hex
    _claim(own)
    over = threading.Event()
    renewal = threading.Thread(target=_renew, args=(own, over), name="lease", daemon=True)
    renewal.start()
    try:
        yield
    finally:
        over.set()
        renewal.join()
        with suppress(UnavailableError):  # then it runs out, and is no hindrance on this machine
            own.unlink(missing_ok=True)


def is_held(claims: "ObjectPlace") -> bool:
    """Whether there is a living claim."""
    return any(_holder(claim, time.time_ns()) for claim in claims.glob("*"))


def _claim(own: "ObjectPlace") -> None:
    for attempt in range(1, _TRIES + 1):
        own.write(json.dumps(_this_process()))
        holder = None
        for other in [claim for claim in own.parent.glob("*") if claim != own]:
            there = _holder(other, own.modified())
            if there is None:
                other.unlink(missing_ok=True)
            holder = holder or there
        if holder is None:
            return
        own.unlink(missing_ok=True)
        if attempt == _TRIES:
            raise HeldError(holder)
        time.sleep(0.1 + os.urandom(1)[0] / 256)


def _holder(claim: "ObjectPlace", now: int) -> str | None:
    """The process that holds a claim, or None if it is gone.

    Args:
        claim: of another process.
        now: in nanoseconds since 1970.
    """
    try:
        process, age = json.loads(claim.read_bytes()), (now - claim.modified()) / 1e9
    except FileNotFoundError:
        return None
    if process["machine"] is not None and process["machine"] == _machine():
        return f"process {process['pid']} on {process['host']}" if _start(process["pid"]) == process["start"] else None
    if age > SECONDS:
        return None
    return (
        f"process {process['pid']} on {process['host']} (last heard of {max(0.0, age):.0f} s ago; "
        f"if it is dead, its lease of {SECONDS} s runs out in {SECONDS - age:.0f} s)"
    )


def _renew(own: "ObjectPlace", over: threading.Event) -> None:
    while not over.wait(_RENEWAL):
        # During an outage no process can take the lease; after a long one another process may hold it.
        with suppress(UnavailableError):
            if not own.exists():
                break
            own.write(json.dumps(_this_process()))
    else:
        return
    sys.stderr.write(
        f"error: {own.parent}: another process has taken this over, while this one could not be heard of\n"
    )
    os.kill(os.getpid(), signal.SIGTERM)


def _this_process() -> dict[str, Any]:
    return {"pid": os.getpid(), "start": _start(os.getpid()), "host": platform.node(), "machine": _machine()}


def _machine() -> str | None:
    """What processes share that can see one another: a start of a kernel, a numbering, a user; None if not known."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    if not boot.exists():
        return None
    return f"{boot.read_text(encoding='utf-8').strip()} {os.readlink('/proc/self/ns/pid')} {os.getuid()}"


def _start(pid: int) -> str | None:
    """When a process of this machine was started, in its kernel's ticks; None if there is none."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return None
    return status.rpartition(")")[2].split()[19]
