"""A process that has imported what workers need, and makes each worker by a fork: tenths of a second, not five.

Its memory is theirs as well, as far as nobody writes to it. For a Ray of our own on Linux only: on a cluster others
start the workers.
"""

import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestrator.running.forked_worker import FORK_SERVER

# What a worker of one process imports before its first step, and what stands between several and Tune.
_PRELOADED = (
    "ray._private.workers.setup_worker",
    "ray.train.torch",
    "ray.tune.trainable.function_trainable",
    "orchestrator.running.trial",
    "orchestrator.running.workers",
)


@contextmanager
def fork_server(threads: int) -> Iterator[None]:
    """Has a Ray that is started in the block make its workers by forks; it gets ready meanwhile.

    Args:
        threads: of the libraries that count them when they are imported: the cores that Ray gives a worker.
    """
    if sys.platform != "linux":
        yield
        return
    with tempfile.TemporaryDirectory(prefix="augsweep-") as folder:
        environment = {
            "OMP_NUM_THREADS": str(threads),
            **os.environ,
            # Ray's library reads these two when it is imported, and never again: the job is the only one of its Ray,
            # and what a worker must not outlive may be this process as well as its raylet.
            "RAY_JOB_ID": "01000000",
            "RAY_RAYLET_PID": str(os.getpid()),
        }
        os.environ[FORK_SERVER] = address = str(Path(folder) / "socket")
        command = [sys.executable, "-m", __name__, address]
        server = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # it ends with the last process that could write to it
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,  # no Ctrl-C is for it
        )
        try:
            yield
        finally:
            del os.environ[FORK_SERVER]
            server.kill()
            server.communicate()


@dataclass(frozen=True)
class _Request:
    """What a process was started with, which the worker shall have in its place."""

    arguments: list[str]
    environment: dict[str, str]
    folder: str
    outputs: list[int]


def main() -> None:
    """Serves until the process that started it is gone; in each worker it goes on as Ray's script."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(sys.argv[1])
        listener.listen(1024)  # who comes before the imports are done waits
        for module in _PRELOADED:
            importlib.import_module(module)
        gc.collect()
        gc.freeze()  # else the first collection of each worker would copy all of it
        request = _served(listener)
    if request is not None:
        _become(request)


def _served(listener: socket.socket) -> _Request | None:
    """Returns in every worker that it has made; here only at the end, with None."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # workers end when they want; nobody asks how
    while True:
        ready, _, _ = select.select([listener, sys.stdin], [], [])
        if sys.stdin in ready:
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
    """What Ray's two scripts do, without importing anything anew where the worker needs no interpreter of its own."""
    from ray._private.runtime_env.context import RuntimeEnvContext
    from ray._private.utils import update_envs
    from ray._private.workers import setup_worker
    from ray._raylet import Config  # pyright: ignore[reportAttributeAccessIssue]
    from ray.core.generated.common_pb2 import Language  # pyright: ignore[reportAttributeAccessIssue]

    os.setsid()
    for given, place in zip([os.open(os.devnull, os.O_RDONLY), *request.outputs], (0, 1, 2), strict=True):
        os.dup2(given, place)
        os.close(given)
    os.environ.clear()
    os.environ.update(request.environment)
    os.chdir(request.folder)
    own, rest = setup_worker.parser.parse_known_args(request.arguments)
    context = RuntimeEnvContext.deserialize(own.serialized_runtime_env_context or "{}")
    if vars(context) != vars(RuntimeEnvContext(env_vars=context.env_vars)) or rest[0].startswith("-"):
        context.exec_worker(rest, Language.Value(own.language))
    update_envs(context.env_vars)
    Config.initialize("")  # anew from the environment
    sys.argv, sys.path[0] = rest, os.path.dirname(rest[0])
    runpy.run_path(rest[0], run_name="__main__")


if __name__ == "__main__":
    main()
