"""The way into MLflow, and the one importer of it: its settings, and a database made by one process at a time."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

# MLflow reads these when it is imported. We retry ourselves: its own minutes of waiting would only hide an outage.
for _name, _value in {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # else two lines for every run that ends on a server
}.items():
    os.environ.setdefault(_name, _value)

from mlflow import MlflowClient  # noqa: E402
from mlflow.entities import Metric, Param, Run, RunTag  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402

from orchestrator.tracking.mlflow.address import database_file  # noqa: E402

__all__ = [
    "Metric",
    "MlflowClient",
    "MlflowException",
    "Param",
    "Run",
    "RunTag",
    "artifacts_beside",
    "connect",
    "is_there",
]


def connect(uri: str) -> MlflowClient:
    """A client of the store at `uri`; a SQLite file is created and migrated here, by one process at a time."""
    file = database_file(uri)
    if file is None:
        return MlflowClient(uri)
    file.parent.mkdir(parents=True, exist_ok=True)
    with _alone(file):
        if not file.exists():
            _create(uri, file)
        # Readers and the writer stop waiting for one another, and a batch costs 8 ms for 20; it stays with the file.
        # (Not for a network file system, which WAL cannot use: a sweep over several machines wants a server.)
        with closing(sqlite3.connect(file, timeout=20)) as database:
            database.execute("PRAGMA journal_mode=WAL")
        return MlflowClient(uri)


def _create(uri: str, file: Path) -> None:
    """Makes an empty store beside its place and moves it there whole.

    MLflow builds the schema in dozens of steps that no transaction holds together: a process killed among them would
    leave a database that can never be opened again.
    """
    unfinished = file.with_name(f"{file.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    MlflowClient(f"{uri}.unfinished")
    unfinished.replace(file)


def is_there(uri: str) -> bool:
    """Whether anything can be at `uri`: asking MLflow would make the database file that is not there."""
    file = database_file(uri)
    return file is None or file.exists()


def artifacts_beside(uri: str) -> str | None:
    """Where artifacts of a new experiment go: beside a database file; a server has its own place."""
    if uri.startswith(("http://", "https://")):
        return None
    file = database_file(uri)
    return ((file.parent if file else Path.cwd()) / "mlartifacts").as_uri()


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Two processes that migrate a new database at once break it."""
    with file.with_name(f"{file.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
