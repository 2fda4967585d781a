"""What Ray runs in the place of its own script for each worker: has the fork server make that worker.

A script and no module, since whatever it imports is time that a trial waits for. Where no fork server answers it goes
on as Ray's own script.
"""

import importlib.util
import json
import os
import socket
import sys

FORK_SERVER = "AUGSWEEP_FORK_SERVER"  # the variable with the place of its socket


def main() -> None:
    """Hands over arguments, environment, folder and outputs of this process, and ends as soon as there is a worker."""
    arguments = sys.argv[1:]
    if not _is_forked({"arguments": arguments, "environment": dict(os.environ), "folder": os.getcwd()}):
        ray = importlib.util.find_spec("ray")  # which does not import it
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
            return server.recv(1) != b""  # nothing where it ended before
    except OSError:
        return False


if __name__ == "__main__":
    main()
