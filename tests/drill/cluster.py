"""A Ray cluster of two nodes by `ray start`, each of which can be lost and replaced, and what it knows of itself."""

import json
import secrets
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tests.drill.services import HOST, Service, free_port
from tests.orchestrator.command import living
from tests.orchestrator.tracking.mirrored import wait_until

# All of 127/8 is the loopback network; 127.0.0.1 Ray would take for a name of the machine. (The nodes of a cluster
# listen to all networks, whatever their address: the token keeps others out.)
_HEAD, _SECOND = "127.0.0.2", "127.0.0.3"


class Node(Service):
    """One node of a Ray cluster.

    Args:
        name: of the node.
        home: folder of its log; Ray's own are in `ray-<name>` in it.
        address: of the loopback network; nodes with the same one would count as one machine.
        start: arguments of `ray start` that make it a head or lead it to one.
        environment: in which the cluster's token is found.
    """

    def __init__(
        self, name: str, home: Path, *, address: str, start: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        super().__init__(name, home)
        self._address = address
        self._temp, self._start, self._environment = home / f"ray-{name}", start, environment

    def command(self) -> Sequence[str | Path]:
        ports = ("--dashboard-agent-listen-port", "0", "--min-worker-port", "0", "--max-worker-port", "0")
        size = ("--num-cpus", "1", "--object-store-memory", str(200 * 1024**2))
        place = ("--node-ip-address", self._address, "--temp-dir", self._temp)
        return (Path(sys.executable).parent / "ray", "start", "--block", *self._start, *place, *ports, *size)

    def environment(self) -> Mapping[str, str]:
        return self._environment

    def is_healthy(self) -> bool:
        return b"Ray runtime started" in self.log.read_bytes()


class Cluster:
    """A Ray cluster of two nodes with one CPU each, on two addresses of the loopback network; tokens are asked for.

    Args:
        home: folder of everything it writes; sockets want it to have a short path.
    """

    def __init__(self, home: Path) -> None:
        port, dashboard = free_port(), free_port()
        self.address = f"{_HEAD}:{port}"
        self._dashboard = f"http://{HOST}:{dashboard}"
        token = home / "token"
        token.write_text(secrets.token_hex(32))
        self.environment = {
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1",  # whoever has imported the house has it at 0
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_worker_niceness": "0",
        }
        node = partial(Node, home=home, environment=self.environment)
        ports = ("--port", str(port), "--dashboard-port", str(dashboard), "--ray-client-server-port", str(free_port()))
        self.head = node("head", address=_HEAD, start=("--head", *ports, "--include-dashboard", "true"))
        self.second = node("second", address=_SECOND, start=("--address", self.address))
        self._token = token

    def start(self) -> None:
        """Starts it, again if it was killed, and returns when both nodes are there."""
        self.head.start()
        self.second.start()
        wait_until(lambda: self._living_nodes() == 2)

    def kill(self) -> None:
        """`kill -9` of everything on both nodes."""
        self.second.kill()
        self.head.kill()

    def ask(self, what: str) -> list[dict[str, Any]]:
        """What its state service knows of its `nodes`, `actors` or `placement_groups`.

        Raises:
            OSError: it does not answer, as shortly after its start.
        """
        url = f"{self._dashboard}/api/v0/{what}?limit=1000&detail=1"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {self._token.read_text()}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)["data"]["result"]["result"]

    def processes(self) -> dict[int, str]:
        """The living processes of both nodes with the titles that Ray gives them, or their command lines."""
        family = self.head.family() | self.second.family()
        return {pid: _title(pid) for pid in living(family)}

    def _living_nodes(self) -> int:
        try:
            return sum(node["state"] == "ALIVE" for node in self.ask("nodes"))
        except OSError:  # the service comes up last
            return 0


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:  # it has ended
        return ""
