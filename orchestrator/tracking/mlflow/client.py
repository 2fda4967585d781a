"""The only module that imports MLflow: sets it up, and creates its database from one process at a time."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

# MLflow reads these on import. The tracker retries by itself; MLflow's minutes of retries would only hide an outage.
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
    """Create a client of the store at `uri`; an SQLite file is created and migrated by one process at a time."""
    file = database_file(uri)
    if file is None:
        return MlflowClient(uri)
    file.parent.mkdir(parents=True, exist_ok=True)
    with _alone(file):
        if not file.exists():
            _create(uri, file)
        # In WAL mode readers and the writer do not block each other, and a batch takes 8 ms instead of 20. The mode is
        # stored in the file. WAL does not work on network file systems: a sweep over several machines needs a server.
        with closing(sqlite3.connect(file, timeout=20)) as database:
            database.execute("PRAGMA journal_mode=WAL")
        return MlflowClient(uri)


def _create(uri: str, file: Path) -> None:
    """Create an empty store in a temporary file and rename it into place.

    MLflow builds the schema in dozens of steps without a common transaction: a process killed in between would leave a
    database that can never be opened again.
    """
    unfinished = file.with_name(f"{file.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    MlflowClient(f"{uri}.unfinished")
    unfinished.replace(file)


def is_there(uri: str) -> bool:
    """Whether a store may exist at `uri`; checked here because MLflow would create a missing database file."""
    file = database_file(uri)
    return file is None or file.exists()


def artifacts_beside(uri: str) -> str | None:
    """Artifact location of a new experiment: next to a database file; None for a server, which has its own."""
    if uri.startswith(("http://", "https://")):
        return None
    file = database_file(uri)
    return ((file.parent if file else Path.cwd()) / "mlartifacts").as_uri()


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Lock a database file: two processes that migrate a new database at once corrupt it."""
    with file.with_name(f"{file.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
