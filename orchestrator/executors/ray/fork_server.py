"""A process that has imported what workers need and forks each of them: in tenths of a second instead of five seconds.

Workers share its memory until one of them writes to it. Used for a private Ray on Linux only: on a cluster, Ray's own
processes start the workers.
"""

import gc
import importlib
import json
import os
import runpy
import select
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestrator.executors.ray.forked_worker import FORK_SERVER

# What a worker imports before its first step, and third-party modules that Ray imports. Ray itself must not be imported
# here: its library keeps the environment that it reads at import, and would draw the same random names in all workers.
_PRELOADED = ("orchestrator.training.trial", "jsonschema", "pandas", "pyarrow.fs", "google.protobuf.descriptor_pb2")


@contextmanager
def fork_server() -> Iterator[None]:
    """Let a Ray that is started in the block fork its workers from a server, which gets ready meanwhile.

    The server is a fork of this process, so it has everything that is already imported. The block must begin before Ray
    is imported, and before torch computes anything, because a fork lacks torch's threads. If this process has imported
    Ray, or the system is not Linux, Ray starts workers in its own way.
    """
    if sys.platform != "linux" or "ray" in sys.modules:
        yield
        return
    folder = Path(tempfile.mkdtemp(prefix="augsweep-"))
    address = str(folder / "socket")
    end, held = os.pipe()  # closed when the driver ends, in whatever way
    server = os.fork()
    if server == 0:
        os.close(held)
        _serve(address, end)
        sys.exit()  # the stack above is that of a driver
    os.close(end)
    os.environ[FORK_SERVER] = address
    try:
        yield
    finally:
        del os.environ[FORK_SERVER]
        os.close(held)
        os.kill(server, signal.SIGKILL)
        os.waitpid(server, 0)
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class _Request:
    """How a process was started; the worker takes over all of it."""

    arguments: list[str]
    environment: dict[str, str]
    folder: str
    outputs: list[int]


def _serve(address: str, end: int) -> None:
    """Serve until the parent process ends; in each worker, continue as Ray's script."""
    os.setsid()  # so that Ctrl-C does not reach it
    _redirect([os.open(os.devnull, os.O_RDWR) for _ in range(3)], (0, 1, 2))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(1024)  # requests wait until the imports are done
        for module in _PRELOADED:
            importlib.import_module(module)
        gc.collect()
        gc.freeze()  # otherwise the first collection in each worker copies all of its memory
        request = _served(listener, end)
    if request is not None:
        os.close(end)
        _become(request)


def _served(listener: socket.socket, end: int) -> _Request | None:
    """Return the request in each forked worker; in the server itself only at the end, with None."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # workers end by themselves; their exit codes are not read
    while True:
        ready, _, _ = select.select([listener, end], [], [])
        if end in ready:
            return None
        connection, _ = listener.accept()
        with connection:
            request = _received(connection)
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                return request
            for output in request.outputs:
                os.close(output)
            connection.sendall(b"\n")


def _received(connection: socket.socket) -> _Request:
    _, outputs, _, _ = socket.recv_fds(connection, 1, 2)
    with connection.makefile("rb") as lines:
        return _Request(**json.loads(lines.readline()), outputs=outputs)


def _become(request: _Request) -> None:
    """Do what Ray's two scripts do, without importing everything again unless the worker needs its own interpreter."""
    os.setsid()
    _redirect(request.outputs, (1, 2))
    os.environ.clear()
    os.environ.update(request.environment)
    os.chdir(request.folder)

    from ray._private.runtime_env.context import RuntimeEnvContext
    from ray._private.utils import update_envs
    from ray._private.workers import setup_worker
    from ray.core.generated.common_pb2 import Language  # pyright: ignore[reportAttributeAccessIssue]

    own, rest = setup_worker.parser.parse_known_args(request.arguments)
    context = RuntimeEnvContext.deserialize(own.serialized_runtime_env_context or "{}")
    if vars(context) != vars(RuntimeEnvContext(env_vars=context.env_vars)) or rest[0].startswith("-"):
        context.exec_worker(rest, Language.Value(own.language))
    update_envs(context.env_vars)
    sys.argv, sys.path[0] = rest, os.path.dirname(rest[0])
    runpy.run_path(rest[0], run_name="__main__")


def _redirect(files: Sequence[int], places: Sequence[int]) -> None:
    for file, place in zip(files, places, strict=True):
        os.dup2(file, place)
        os.close(file)
