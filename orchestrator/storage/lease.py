"""A lease on a prefix of an object store, which has no locks: a process writes a claim and lists the others.

Each process writes its claim as a separate object and then lists all claims. In a consistent store (S3 since 2020), at
least the later of two processes sees the other's claim, and a process that sees a live claim withdraws its own. A
process renews its claim as long as it lives; ages are measured by the store's clock.
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
from typing import Any

from orchestrator.storage.held import HeldError
from orchestrator.storage.place import Place
from orchestrator.storage.s3 import UnavailableError

SECONDS = 60  # a claim expires if it is not renewed for so long
_RENEWAL = 10  # seconds
_TRIES = 3  # two processes that collide both withdraw and retry after random delays


@contextmanager
def held(claims: Place) -> Iterator[None]:
    """Hold a lease during the block; if another process takes it over, send SIGTERM to this process.

    Args:
        claims: the prefix below which all claims are written.

    Raises:
        HeldError: another process holds the lease.
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
        with suppress(
            UnavailableError
        ):  # the claim then expires; on this machine a claim of a dead process is ignored at once
            own.unlink(missing_ok=True)


def is_held(claims: Place) -> bool:
    """Whether a process holds the lease."""
    return any(_holder(claim, time.time_ns()) for claim in claims.glob("*"))


def _claim(own: Place) -> None:
    for attempt in range(1, _TRIES + 1):
        own.write(json.dumps(_this_process()))
        holder = None
        for other in [claim for claim in own.parent.glob("*") if claim != own]:
            found = _holder(other, own.modified())
            if found is None:
                other.unlink(missing_ok=True)
            holder = holder or found
        if holder is None:
            return
        own.unlink(missing_ok=True)
        if attempt == _TRIES:
            raise HeldError(holder)
        time.sleep(0.1 + os.urandom(1)[0] / 256)


def _holder(claim: Place, now: int) -> str | None:
    """Describe the process that made a claim, or return None if it is dead or its claim has expired.

    Args:
        claim: the object that another process wrote.
        now: current time in nanoseconds since 1970, by the store's clock.
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


def _renew(own: Place, over: threading.Event) -> None:
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
    """Identify processes that can see each other: same boot, PID namespace and user; None if that cannot be read."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    if not boot.exists():
        return None
    return f"{boot.read_text(encoding='utf-8').strip()} {os.readlink('/proc/self/ns/pid')} {os.getuid()}"


def _start(pid: int) -> str | None:
    """Start time of a process of this machine in kernel ticks; None if there is no such process."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return None
    return status.rpartition(")")[2].split()[19]
