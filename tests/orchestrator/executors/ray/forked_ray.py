"""A Ray beside a fork server, in a process that has not imported Ray before; prints what its workers are like.

python -m tests.orchestrator.executors.ray.forked_ray FOLDER
"""

import json
import os
import random
import signal
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import torch

from orchestrator.executors.ray.fork_server import fork_server
from orchestrator.executors.ray.forked_worker import FORK_SERVER

_PATIENCE = 60.0


class Probe:
    """Tells what its process is like, without importing anything for it."""

    def look(self) -> dict[str, Any]:
        """Plain values."""
        import ray

        torch.set_num_threads(2)
        return {
            "process": os.getpid(),
            "session": os.getsid(0),
            "parent": os.getppid(),
            "imported": "orchestrator.training.loop" in sys.modules,
            "worker": ray.get_runtime_context().get_worker_id(),
            "drawn": [random.random(), str(uuid.uuid4())],
            "input": os.readlink("/proc/self/fd/0"),
            "of children": signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL,
            "asked for": os.environ.get("ASKED_FOR"),
            "product": float((torch.ones(300, 300) @ torch.ones(300, 300)).sum()),  # by threads of its own
        }


def main() -> None:
    """Makes workers in the ways that there are, and loses the server at last."""
    folder = Path(sys.argv[1])
    with fork_server():
        from orchestrator.config.sweep import SweepConfig
        from orchestrator.executors.ray.cluster import cluster

        sweep = SweepConfig(name="s", trials=1, metric="score")
        with cluster(sweep, data_bytes=1, log=folder / "ray.log", address=None, storage=str(folder)):
            several = _looks(3)
            asked = _looks(1, runtime_env={"env_vars": {"ASKED_FOR": "this"}})
            server = several[0]["parent"]
            gone = all(_ends(look["process"]) for look in several)
            os.kill(server, signal.SIGKILL)
            alone = _looks(1, runtime_env={"env_vars": {"ASKED_FOR": "that"}})
    seen = {"several": several, "asked": asked, "alone": alone, "server": server, "gone": gone}
    sys.stdout.write(json.dumps(seen | {"driver": os.getpid(), "left": FORK_SERVER in os.environ}))


def _looks(count: int, **options: Any) -> list[dict[str, Any]]:
    import ray

    remote: Any = ray.remote(num_cpus=0)(Probe)
    probes = [remote.options(**options).remote() for _ in range(count)]
    looks: Any = ray.get([probe.look.remote() for probe in probes])
    for probe in probes:
        ray.kill(probe)
    return looks


def _ends(process: int) -> bool:
    """Whether the process ends in time and is reaped, so that no zombie is left."""
    until = time.monotonic() + _PATIENCE
    while Path(f"/proc/{process}").exists() and time.monotonic() < until:
        time.sleep(0.05)
    return not Path(f"/proc/{process}").exists()


if __name__ == "__main__":
    main()
