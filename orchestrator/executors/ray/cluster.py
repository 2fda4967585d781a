"""The Ray that trials run on: a private one on this machine, or an existing cluster."""

import gc
import logging
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import ray

from orchestrator.config.sweep import SweepConfig
from orchestrator.core.errors import UserError, first_line
from orchestrator.executors.ray import FOR_WORKERS, cluster_checks, liveness, startup_patches

# Bytes that Ray needs in its object store in addition to the data.
_STORE_MARGIN = 256 * 1024**2
# The part of this margin that Ray fills even in a small sweep, with its logs.
_LEAST_MARGIN = 32 * 1024**2
_SHARED_MEMORY = Path("/dev/shm")
# Bytes of a folder's path that leave room for `/ray/session_<date>_<time>_<pid>/sockets/plasma_store`.
_LONGEST_FOLDER = 39


@contextmanager
def cluster(sweep: SweepConfig, *, data_bytes: int, log: Path, address: str | None, storage: str) -> Iterator[None]:
    """Start or join the Ray that trials run on, and leave it at the end of the block.

    Args:
        sweep: what a worker needs, checked against the nodes.
        data_bytes: bytes that will be put into the object store.
        log: file for what Ray prints while it starts and ends.
        address: of a cluster to join (`host:port`, or `auto` for the one that this machine belongs to); None starts a
            private Ray on this machine, closed to others.
        storage: the sweep's folder, which every node must see.

    Raises:
        UserError: Ray does not start or answer, no node has room for a worker, or a node differs from this machine.
    """
    with ExitStack() as own:
        try:
            with output_in(log):
                if address is None:
                    _require_space(data_bytes)
                    _start(sweep, object_store_bytes=data_bytes + _STORE_MARGIN, log=log)
                    own.enter_context(startup_patches.environments())
                else:
                    _join(address, log)
                cluster_checks.require_room(sweep)
                if address is not None:
                    cluster_checks.require_alike(storage)
            yield
        finally:
            if not liveness.has_ended():  # `ray.shutdown` would wait for it
                with output_in(log):
                    _shut_down()


@contextmanager
def output_in(log: Path) -> Iterator[None]:
    """Redirect what the block prints to a file; references to the old streams keep working."""
    with (
        log.open("a", encoding="utf-8", errors="backslashreplace") as file,
        redirect_stdout(file),
        redirect_stderr(file),
    ):
        yield


def _shut_down() -> None:
    """Ends Ray while the garbage collector cannot free an object reference.

    The collector runs in whichever thread allocates. If it frees a reference while Ray's library shuts down, that
    library ends the process.
    """
    collects = gc.isenabled()
    gc.collect()
    gc.disable()
    gc.freeze()  # from explicit collections by other threads too
    try:
        ray.shutdown()
    finally:
        gc.unfreeze()
        if collects:
            gc.enable()


def _start(sweep: SweepConfig, *, object_store_bytes: int, log: Path) -> None:
    # Without a dashboard, Ray Train does not notice that a trial of several workers ended, and keeps its resources.
    dashboard = sweep.workers > 1
    try:
        with _signal_handlers_kept(), startup_patches.processes(dashboard=dashboard):
            _provide_token()
            ray.init(
                address="local",
                include_dashboard=dashboard,
                log_to_driver=False,
                logging_level=logging.CRITICAL,  # the ledger reports what goes wrong
                object_store_memory=object_store_bytes,
                **_short_folder(),
            )
    except Exception as error:  # Ray raises bare ones, as when its node takes too long on a busy machine
        raise UserError(f"Ray did not start: {first_line(error)} (more in {log}){_remedy(error)}") from error
    own = ray.util.get_node_ip_address()
    if own != "127.0.0.1":
        raise UserError(f"Ray must listen on 127.0.0.1 alone, got {own}; import {__name__} before ray")


def _remedy(error: Exception) -> str:
    """What to do when Ray does not start; nothing if only its message can say."""
    if "timed out" in str(error).lower() or isinstance(error, TimeoutError):
        return "; when the machine is less busy, the same command continues"
    if isinstance(error, OSError) and error.filename is not None:
        return "; make this path writable, or set RAY_TMPDIR to a folder that is"
    return ""


def _provide_token() -> None:
    """Passes Ray a token by its environment where it could not store one in the home folder.

    A private Ray uses a token for its connections, which Ray otherwise creates in `~/.ray`.
    """
    home = Path.home()
    folder = next(one for one in (home / ".ray", home, *home.parents) if one.exists())
    given = {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys()
    if not given and not (home / ".ray" / "auth_token").exists() and not os.access(folder, os.W_OK):
        os.environ["RAY_AUTH_TOKEN"] = os.urandom(32).hex()


def _require_space(data_bytes: int) -> None:
    """Reject a machine on which the object store does not fit; Ray would fail only when the images are put into it.

    Ray uses its temporary folder where shared memory is too small.

    Raises:
        UserError: neither has room.
    """
    shared = shutil.disk_usage(_SHARED_MEMORY).free if _SHARED_MEMORY.exists() else 0
    folder = Path(_short_folder().get("_temp_dir", _given_folder()))
    disk = shutil.disk_usage(next(one for one in (folder, *folder.absolute().parents) if one.exists())).free
    if shared < data_bytes + _STORE_MARGIN and disk < data_bytes + _LEAST_MARGIN:
        raise UserError(
            f"trials need {(data_bytes + _STORE_MARGIN) / 1e6:.0f} MB of shared memory for the images, but "
            f"{_SHARED_MEMORY} has {shared / 1e6:.0f} MB free, and {folder}, which Ray uses instead, {disk / 1e6:.0f} "
            "MB; enlarge /dev/shm (`docker run --shm-size=...`), or set RAY_TMPDIR to a folder on a disk with more room"
        )


def _short_folder() -> dict[str, Any]:
    """Ray's own option for its folder where TMPDIR is too long: a socket's path has 107 bytes at most."""
    return {"_temp_dir": "/tmp/ray"} if len(os.fsencode(_given_folder())) > _LONGEST_FOLDER else {}


def _given_folder() -> str:
    return os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"


def _join(address: str, log: Path) -> None:
    try:
        with _signal_handlers_kept(), _native_errors_in(log):
            cluster_checks.require_token(address)
            ray.init(
                address=address,
                log_to_driver=False,
                logging_level=logging.CRITICAL,
                runtime_env={"py_modules": cluster_checks.code(), "env_vars": _environment()},
            )
    except UserError:
        raise
    except Exception as error:  # of many types: versions, tokens, a cluster that has just ended
        raise UserError(
            f"the Ray cluster at {address} cannot be joined: {cluster_checks.advice(error)} (more in {log})"
        ) from error


@contextmanager
def _native_errors_in(log: Path) -> Iterator[None]:
    """Redirect what Ray's native library writes to file descriptor 2 into the log while the block runs."""
    sys.stderr.flush()
    terminal = os.dup(2)
    try:
        with log.open("a", encoding="utf-8") as file:
            os.dup2(file.fileno(), 2)
            yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)


def _environment() -> Mapping[str, str]:
    """Variables of this process that workers on other nodes need."""
    return {name: os.environ[name] for name in os.environ if name in FOR_WORKERS or name.startswith("AWS_")}


@contextmanager
def _signal_handlers_kept() -> Iterator[None]:
    """Keep all signal handlers while the block runs.

    `ray.init` installs a handler for SIGTERM that raises SystemExit wherever the main thread happens to be. Inside a
    `__del__`, a callback or a broad `except` the exception is swallowed, and the sweep never ends. Ray has no option
    against it. Off the main thread it installs none, but its processes die with the thread that starts them.

    Ray's native library also handles SIGTERM, before Python: it writes a stack trace, and aborts the process if that
    takes over three seconds, as on a busy machine. Setting the handler again puts Python first.
    """
    replace = signal.signal
    signal.signal = lambda signalnum, handler: signal.getsignal(signalnum)
    try:
        yield
    finally:
        signal.signal = replace
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))
