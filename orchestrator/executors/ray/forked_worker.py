"""The script that Ray runs instead of its own for each worker: it asks the fork server for that worker.

It imports as little as possible, because a trial waits for it. If no fork server answers, it continues as Ray's own
script.
"""

import importlib.util
import json
import os
import socket
import sys

FORK_SERVER = "AUGSWEEP_FORK_SERVER"  # the variable with the path of its socket


def main() -> None:
    """Pass arguments, environment, folder and outputs of this process to the server, and end once the worker exists."""
    arguments = sys.argv[1:]
    if not _is_forked({"arguments": arguments, "environment": dict(os.environ), "folder": os.getcwd()}):
        ray = importlib.util.find_spec("ray")  # does not import it
        assert ray is not None
        assert ray.origin is not None
        script = os.path.join(os.path.dirname(ray.origin), "_private", "workers", "setup_worker.py")
        os.execv(sys.executable, [sys.executable, script, *arguments])


def _is_forked(request: dict[str, object]) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.connect(os.environ[FORK_SERVER])
            socket.send_fds(server, [b"\n"], [sys.stdout.fileno(), sys.stderr.fileno()])
            server.sendall(json.dumps(request).encode() + b"\n")
            return server.recv(1) != b""  # empty if the server has ended
    except OSError:
        return False


if __name__ == "__main__":
    main()
