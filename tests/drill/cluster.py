"""A Ray cluster of two nodes by `ray start`, each of which can be killed and replaced, and queries of its state."""

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

# All of 127/8 is the loopback network; Ray would treat 127.0.0.1 as the machine itself. (Cluster nodes listen on all
# interfaces regardless of their address; the token keeps other machines out.)
_HEAD, _SECOND = "127.0.0.2", "127.0.0.3"


class Node(Service):
    """One node of a Ray cluster.

    Args:
        name: Name of the node.
        home: Folder of its log; Ray's own logs are in its subfolder `ray-<name>`.
        address: Loopback address; Ray counts nodes with equal addresses as one machine.
        start: Arguments of `ray start` that make it a head or connect it to one.
        environment: Environment variables with the cluster's token.
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
    """A Ray cluster of two nodes with one CPU each, on two loopback addresses, with token authentication.

    Args:
        home: Folder of everything it writes; its path must be short because of sockets.
    """

    def __init__(self, home: Path) -> None:
        port, dashboard = free_port(), free_port()
        self.address = f"{_HEAD}:{port}"
        self._dashboard = f"http://{HOST}:{dashboard}"
        token = home / "token"
        token.write_text(secrets.token_hex(32))
        self.environment = {
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1",  # importing our packages sets it to 0
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
        """Starts or restarts the cluster; returns when both nodes are alive."""
        self.head.start()
        self.second.start()
        wait_until(lambda: self._living_nodes() == 2)

    def kill(self) -> None:
        """`kill -9` of everything on both nodes."""
        self.second.kill()
        self.head.kill()

    def ask(self, what: str) -> list[dict[str, Any]]:
        """Asks Ray's state API for its `nodes`, `actors` or `placement_groups`.

        Raises:
            OSError: The API does not answer, for example shortly after the start.
        """
        url = f"{self._dashboard}/api/v0/{what}?limit=1000&detail=1"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {self._token.read_text()}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)["data"]["result"]["result"]

    def processes(self) -> dict[int, str]:
        """The live processes of both nodes, with their titles set by Ray or their command lines."""
        family = self.head.family() | self.second.family()
        return {pid: _title(pid) for pid in living(family)}

    def _living_nodes(self) -> int:
        try:
            return sum(node["state"] == "ALIVE" for node in self.ask("nodes"))
        except OSError:  # the state API starts last
            return 0


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:  # the process has ended
        return ""
