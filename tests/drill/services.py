"""Real services on loopback that can be killed and started again: PostgreSQL, MLflow's server, S3, a Ray cluster."""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self
from unittest.mock import patch

from tests.orchestrator.command import descendants, living
from tests.orchestrator.tracking.mirrored import wait_until

HOST = "127.0.0.1"
# All of 127/8 is the loopback network; 127.0.0.1 Ray would take for a name of the machine. (The nodes of a cluster
# listen to all networks, whatever their address: the token keeps others out.)
_HEAD, _SECOND = "127.0.0.2", "127.0.0.3"


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as free:
        free.bind((HOST, 0))
        return free.getsockname()[1]


def answers(url: str) -> bool:
    """Whether something there answers a GET with success."""
    try:
        return urllib.request.urlopen(url, timeout=5).status == 200
    except OSError:
        return False


class Service:
    """A process in the foreground with all that descends from it; `with` starts and kills it.

    Args:
        name: of its log.
        home: folder of its log.
        user: that it runs as, if not as ours.
    """

    def __init__(self, name: str, home: Path, user: str | None = None) -> None:
        self.name, self.log = name, home / f"{name}.log"
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> Sequence[str | Path]:
        """What starts it."""
        raise NotImplementedError

    def is_healthy(self) -> bool:
        """Whether it does its work."""
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        """What it wants beside our own environment."""
        return {}

    def start(self) -> None:
        """Starts it, again if it was killed, and returns when it does its work."""
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Starts it and returns at once."""
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [str(word) for word in self.command()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | dict(self.environment()),
                start_new_session=True,  # Ctrl-C is for the drill, which then kills what it has started
                user=self._user,
                cwd=self.log.parent,
            )

    def wait(self) -> None:
        """Returns when it does its work."""
        wait_until(self._is_up)

    def family(self) -> set[int]:
        """The service's own process and all that descend from it."""
        assert self._process is not None
        return {self._process.pid} | descendants(self._process.pid)

    def kill(self) -> None:
        """`kill -9` of the whole family, as when a machine is lost."""
        if self._process is None:
            return
        family = self.family()
        for pid in family:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        self._process = None
        wait_until(lambda: not living(family), 30)

    def _is_up(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"{self.name} did not start:\n{self.log.read_text()[-2000:]}"
        return self.is_healthy()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *reason: object) -> None:
        self.kill()


class Postgres(Service):
    """A PostgreSQL of our own; where we are root, which it refuses to be, it runs as its package's user."""

    def __init__(self, home: Path) -> None:
        super().__init__("postgres", home, "postgres" if os.geteuid() == 0 else None)
        self.port = free_port()
        self.uri = f"postgresql+psycopg2://drill@{HOST}:{self.port}/postgres"
        self._data = home / "postgres"
        self._data.mkdir(mode=0o700)
        if self._user is not None:
            shutil.chown(self._data, self._user, self._user)
        self.log.touch()
        make = [str(binaries() / "initdb"), "-D", str(self._data), "-U", "drill", "--auth=trust", "-E", "UTF8", "-N"]
        subprocess.run(make, check=True, capture_output=True, user=self._user, cwd="/")

    def command(self) -> Sequence[str | Path]:
        listen = ("-c", f"listen_addresses={HOST}", "-p", str(self.port), "-k", "")
        return (binaries() / "postgres", "-D", self._data, *listen)

    def is_healthy(self) -> bool:
        ask = [str(binaries() / "pg_isready"), "-q", "-h", HOST, "-p", str(self.port)]
        return subprocess.run(ask, check=False).returncode == 0


def binaries() -> Path:
    """Where PostgreSQL's programs lie: Debian keeps all but the clients out of the search path.

    Raises:
        FileNotFoundError: it is not installed.
    """
    found = shutil.which("postgres")
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin")) or ([Path(found).resolve().parent] if found else [])
    if not places:
        raise FileNotFoundError("PostgreSQL is not installed: apt-get install postgresql")
    return places[-1]


class MlflowServer(Service):
    """A tracking server.

    Args:
        home: folder of its log and its artifacts.
        store: URI of the database behind it.
    """

    def __init__(self, home: Path, store: str) -> None:
        super().__init__("mlflow", home)
        self._store, self._artifacts, self._port = store, home / "artifacts", free_port()
        self.uri = f"http://{HOST}:{self._port}"

    def command(self) -> Sequence[str | Path]:
        places = ("--backend-store-uri", self._store, "--artifacts-destination", self._artifacts)
        listen = ("--host", HOST, "--port", str(self._port), "--workers", "1")
        return (sys.executable, "-m", "mlflow", "server", *listen, *places)

    def environment(self) -> Mapping[str, str]:
        # Without its job queue, which nobody here uses, there are fewer processes to start.
        return {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}

    def is_healthy(self) -> bool:
        return answers(f"{self.uri}/health")


class S3(Service):
    """An S3 endpoint that keeps its objects in memory, with one empty bucket."""

    keys: ClassVar = {"AWS_ACCESS_KEY_ID": "drill", "AWS_SECRET_ACCESS_KEY": "drill"}
    _bucket = "drill"

    def __init__(self, home: Path) -> None:
        super().__init__("s3", home)
        self._port = free_port()
        self._uri = f"http://{HOST}:{self._port}"

    def command(self) -> Sequence[str | Path]:
        return (sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(self._port))

    def wait(self) -> None:
        super().wait()
        make = urllib.request.Request(f"{self._uri}/{self._bucket}", method="PUT")
        urllib.request.urlopen(make, timeout=10).close()

    def is_healthy(self) -> bool:
        return answers(f"{self._uri}/moto-api/")

    @property
    def storage(self) -> str:
        """The bucket, as the command line names it."""
        return f"s3://{self._bucket}/sweeps?endpoint_override={HOST}:{self._port}&scheme=http"


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

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *reason: object) -> None:
        self.kill()


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:  # it has ended
        return ""


@contextmanager
def home() -> Iterator[Path]:
    """A folder with a short path, for Ray's sockets, that PostgreSQL's user may enter."""
    with tempfile.TemporaryDirectory(prefix="drill-") as path:
        Path(path).chmod(0o755)
        yield Path(path)


class Services:
    """All of them at once; `with` starts and kills them, and lets this process and its children find them.

    Args:
        home: a folder, see `home`.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.postgres = Postgres(home)
        self.mlflow = MlflowServer(home, self.postgres.uri)
        self.s3 = S3(home)
        self.ray = Cluster(home)
        self._started = ExitStack()

    @property
    def arguments(self) -> tuple[str, ...]:
        """Of the command of a sweep that shall use them."""
        return ("--address", self.ray.address, "--tracking-uri", self.mlflow.uri)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(patch.dict(os.environ, self.ray.environment | self.s3.keys))
            for service in (self.postgres, self.mlflow, self.s3, self.ray):
                stack.callback(service.kill)
            self.postgres.start()
            for service in (self.mlflow, self.s3):  # while Ray starts
                service.launch()
            self.ray.start()
            for service in (self.mlflow, self.s3):
                service.wait()
            self._started = stack.pop_all()
        return self

    def __exit__(self, *reason: object) -> None:
        self._started.close()

    def restart(self) -> None:
        """Whatever state they were left in, those that faults are done to run again."""
        for service in (self.ray, self.mlflow):
            service.kill()
            service.start()
