"""What MLflow can never work with is refused at the start; what may be back later is not."""

import http.server
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator.core.errors import UserError
from orchestrator.tracking.mlflow.address import database_file, display, tracking_uri
from orchestrator.tracking.mlflow.client import connect


def refused(uri: str) -> str:
    with pytest.raises(UserError) as caught:
        tracking_uri(uri)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def database(file: Path, version: str) -> str:
    with closing(sqlite3.connect(file)) as made, made:
        made.execute("CREATE TABLE alembic_version (version_num TEXT)")
        made.execute("INSERT INTO alembic_version VALUES (?)", [version])
    return f"sqlite:///{file.name}"


@pytest.mark.parametrize("uri", ["mlruns", "file:///data/mlruns", "htp://host:5000", "databricks", "databricks://me"])
def test_a_scheme_that_mlflow_cannot_write_to_is_refused(uri: str) -> None:
    assert f"--tracking-uri = {uri}: must begin with one of sqlite://, http://" in refused(uri)


def test_tracking_uri_is_option_then_environment_then_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tracking_uri(None) == f"sqlite:///{folder}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert tracking_uri("sqlite:///x.db") == "sqlite:///x.db"
    assert tracking_uri(None) == "http://127.0.0.1:1"  # it is down, and may be back


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:///a.db?mode=ro", "an SQLite address must have no options"),
        ("sqlite:///folder", "is a folder; name a file in it"),
        ("sqlite:///text.db", "is not an SQLite database"),
        ("sqlite:////proc/x.db", "MLflow cannot write /proc/x.db (/proc must be writable ("),
        ("mysql+pymysql://me:secret@host/db", "needs the Python module pymysql, which is not installed; pip install "),
        ("postgresql+nothing://host/db", "is not an address that SQLAlchemy knows"),
        ("http://", "names no host"),
        ("http://host:99999", "is not a valid address (Port out of range"),
    ],
)
def test_what_mlflow_cannot_use_is_refused_at_once(folder: Path, uri: str, expected: str) -> None:
    (folder / "folder").mkdir()
    (folder / "text.db").write_text("hello\n")
    message = refused(uri)
    assert expected in message
    assert "secret" not in message


def test_database_of_another_schema_is_refused(folder: Path) -> None:
    assert "has the schema fff, which this MLflow does not know; upgrade" in refused(database(folder / "a.db", "fff"))
    # MLflow's first schema, which it will always know.
    assert "has an older schema (451aebb31d03); back it up" in refused(database(folder / "b.db", "451aebb31d03"))


def test_database_in_use_and_one_of_this_mlflow_are_taken(folder: Path) -> None:
    connect("sqlite:///used.db")
    assert tracking_uri("sqlite:///used.db")
    with closing(sqlite3.connect(folder / "used.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert tracking_uri("sqlite:///used.db")


@pytest.mark.parametrize("name", ["a%2Fb", "a%20b", "a b", "a?b#c", "ä"])
def test_database_is_made_in_the_working_folder_whatever_its_name(folder: Path, monkeypatch, name: str) -> None:
    (folder / name).mkdir()
    monkeypatch.chdir(folder / name)
    uri = tracking_uri(None)
    assert database_file(uri) == folder / name / "mlflow.db"
    assert display(uri) == "sqlite:///mlflow.db"


@pytest.fixture
def web(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server on this machine that answers with one status."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(request.param)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("web", "expected"),
    [(404, "it is not MLflow's (status 404)"), (401, "wants a login; set MLFLOW_TRACKING_USERNAME"), (403, "refuses")],
    indirect=["web"],
)
def test_server_that_can_never_be_used_is_refused(web: str, expected: str) -> None:
    assert expected in refused(web)


@pytest.mark.parametrize("web", [500, 503], indirect=True)
def test_server_with_a_fault_of_its_own_is_taken(web: str) -> None:
    assert tracking_uri(web) == web
