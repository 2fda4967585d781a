"""A process that has imported what workers need, and makes each worker by a fork: in tenths of a second, not in five.

Workers share its memory until one of them writes to it. For a Ray of our own on Linux only: on a cluster others
start the workers.
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

# What a worker imports before its first step, and what Ray imports of others. Ray itself no worker may have from here:
# its library keeps what it reads of its environment then, and would draw the same random names in all of them.
_PRELOADED = ("orchestrator.training.trial", "jsonschema", "pandas", "pyarrow.fs", "google.protobuf.descriptor_pb2")


@contextmanager
def fork_server() -> Iterator[None]:
    """Has a Ray that is started in the block make its workers by forks; the server gets ready meanwhile.

    It is a fork of this process itself, so that what this one has imported it need not. So the block has to begin
    before Ray is imported, and before torch has computed anything, whose threads a fork would miss. In a process that
    has imported Ray, and elsewhere than on Linux, workers are started as ever.
    """
    if sys.platform != "linux" or "ray" in sys.modules:
        yield
        return
    folder = Path(tempfile.mkdtemp(prefix="augsweep-"))
    address = str(folder / "socket")
    end, held = os.pipe()  # at its end when the driver is, however that ends
    server = os.fork()
    if server == 0:
        os.close(held)
        _serve(address, end)
        sys.exit()  # from here on it has the stack of a driver
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
    """What a process was started with, which the worker shall have in its place."""

    arguments: list[str]
    environment: dict[str, str]
    folder: str
    outputs: list[int]


def _serve(address: str, end: int) -> None:
    """Serves until the process that started it is gone; in each worker it goes on as Ray's script."""
    os.setsid()  # no Ctrl-C is for it
    _redirect([os.open(os.devnull, os.O_RDWR) for _ in range(3)], (0, 1, 2))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(1024)  # who comes before the imports are done waits
        for module in _PRELOADED:
            importlib.import_module(module)
        gc.collect()
        gc.freeze()  # else the first collection of each worker would copy all of it
        request = _served(listener, end)
    if request is not None:
        os.close(end)
        _become(request)


def _served(listener: socket.socket, end: int) -> _Request | None:
    """Returns in every worker that it has made; here only at the end, with None."""
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
    """What Ray's two scripts do, without importing all again where the worker needs no interpreter of its own."""
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
