"""Real services on loopback that can be killed and started again: PostgreSQL, MLflow's server."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from tests.orchestrator.command import descendants, living
from tests.orchestrator.tracking.mirrored import wait_until

HOST = "127.0.0.1"


def free_port() -> int:
    """A port without a listener."""
    with socket.socket() as free:
        free.bind((HOST, 0))
        return free.getsockname()[1]


def answers(url: str) -> bool:
    """Whether the URL answers a GET with success."""
    try:
        return urllib.request.urlopen(url, timeout=5).status == 200
    except OSError:
        return False


class Service(ABC):
    """A foreground process and its descendants; `with` starts and kills it.

    Args:
        name: Name of its log.
        home: Folder of its log.
        user: User that it runs as; None for the current user.
    """

    def __init__(self, name: str, home: Path, user: str | None = None) -> None:
        self.name, self.log = name, home / f"{name}.log"
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> Sequence[str | Path]:
        """The command line that starts it."""

    @abstractmethod
    def is_healthy(self) -> bool:
        """Whether it is ready to serve."""

    def environment(self) -> Mapping[str, str]:
        """Environment variables to add to the current ones."""
        return {}

    def start(self) -> None:
        """Starts or restarts it and returns when it is ready."""
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
                start_new_session=True,  # Ctrl-C reaches only the drill, which then kills its services
                user=self._user,
                cwd=self.log.parent,
            )

    def wait(self) -> None:
        """Returns when it is ready."""
        wait_until(self._is_up)

    def family(self) -> set[int]:
        """The service's process and all its descendants."""
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
    """A private PostgreSQL server; as it refuses to run as root, root runs it as the package's user."""

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
    """The folder of PostgreSQL's programs; on Debian, only the clients are on PATH.

    Raises:
        FileNotFoundError: PostgreSQL is not installed.
    """
    found = shutil.which("postgres")
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin")) or ([Path(found).resolve().parent] if found else [])
    if not places:
        raise FileNotFoundError("PostgreSQL is not installed: apt-get install postgresql")
    return places[-1]


class MlflowServer(Service):
    """An MLflow tracking server.

    Args:
        home: Folder of its log and its artifacts.
        store: URI of its database.
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
        # The drill does not use the job queue; without it there are fewer processes to start.
        return {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}

    def is_healthy(self) -> bool:
        return answers(f"{self.uri}/health")


@contextmanager
def home() -> Iterator[Path]:
    """A folder with a short path, as Ray's sockets require, that PostgreSQL's user may enter."""
    with tempfile.TemporaryDirectory(prefix="drill-") as path:
        Path(path).chmod(0o755)
        yield Path(path)
