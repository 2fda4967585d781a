"""Parse and check MLflow's tracking URI without importing MLflow."""

import importlib.util
import os
import re
import shlex
import sqlite3
import sys
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, urlsplit

from orchestrator.core.errors import UserError, named
from orchestrator.storage.local import LocalPlace

# Stores that MLflow supports. It rejects plain folders since 3.13, and Databricks requires paths as experiment names.
SCHEMES = ("sqlite", "http", "https", "postgresql", "mysql", "mssql")
_FILE = re.compile(r"sqlite(\+\w+)?:///")
# The PyPI package that provides a driver's module.
_PACKAGES = {"psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}
# If any of these is set (login, certificates), only MLflow itself can access the server.
_OWN_ACCESS = ("TOKEN", "USERNAME", "PASSWORD", "AUTH", "INSECURE_TLS", "SERVER_CERT_PATH", "CLIENT_CERT_PATH")
_PATIENCE = 3.0  # seconds for a server's answer


def tracking_uri(option: str | None) -> str:
    """The tracking URI: `--tracking-uri`, else MLFLOW_TRACKING_URI, else `mlflow.db` in the working folder.

    Raises:
        UserError: if MLflow cannot work with it. A server that is down is accepted: it may come back later.
    """
    given = option or os.environ.get("MLFLOW_TRACKING_URI")
    source = "--tracking-uri" if option else "MLFLOW_TRACKING_URI"
    uri = given or _default()
    if problem := _problem(uri):
        raise UserError(f"{source} = {shown(uri)}: {problem}" if given else f"{problem}; --tracking-uri names another")
    return uri


def shown(uri: str) -> str:
    """The address with its password masked, for messages."""
    return re.sub(r"(://[^:/@]*):[^@/]*@", r"\1:***@", uri)


def database_file(uri: str) -> Path | None:
    """The file of an SQLite address, parsed as SQLAlchemy does; None for any other store."""
    match = _FILE.match(uri)
    if match is None:
        return None
    text = uri[match.end() :]
    if _is_decoded(text):  # by SQLAlchemy, whose import takes a second
        from sqlalchemy.engine import make_url

        text = make_url(uri).database or ""
    return Path(text).absolute()


def install(error: ModuleNotFoundError) -> str:
    """The command that installs a missing module."""
    return f"pip install '{_PACKAGES.get(str(error.name), error.name)}'"


def display(uri: str) -> str:
    """The address as a user would type it in the working folder."""
    file = database_file(uri)
    if file is None:
        return uri
    place = LocalPlace(file).display()
    return uri if Path(place).is_absolute() or _is_decoded(place) else f"sqlite:///{place}"


def open_command(uri: str) -> str:
    """How to view the store: the address of a server, or the command that starts one."""
    if uri.startswith(("http://", "https://")):
        return f"open {uri}"
    return shlex.join(
        [LocalPlace(sys.executable).with_name("mlflow").display(), "ui", "--backend-store-uri", display(uri)]
    )


def _default() -> str:
    # A relative path if SQLAlchemy would interpret characters of the absolute one, since MLflow makes a folder of the
    # escaped name.
    home = str(Path.cwd())
    return "sqlite:///mlflow.db" if _is_decoded(home) else f"sqlite:///{home}/mlflow.db"


def _is_decoded(path: str) -> bool:
    """Whether the path needs escaping in an address; SQLAlchemy 2.1 decodes it, earlier versions do not."""
    return "%" in path or "?" in path


def _problem(uri: str) -> str | None:
    """Why MLflow can never use an address, and a remedy; None if no problem is found."""
    scheme = urlsplit(uri).scheme.partition("+")[0] if "://" in uri else ""
    if scheme not in SCHEMES:
        return (
            f"must begin with one of {', '.join(f'{name}://' for name in SCHEMES)}; "
            "sqlite:///mlflow.db is a file in the working folder, http://HOST:5000 a server"
        )
    if scheme in ("http", "https"):
        return _server_problem(uri)
    return _file_problem(uri) if scheme == "sqlite" else _driver_problem(uri)


def _driver_problem(uri: str) -> str | None:
    from sqlalchemy import create_engine
    from sqlalchemy.exc import ArgumentError

    try:
        create_engine(uri)
    except ModuleNotFoundError as error:
        return f"needs the Python module {error.name}, which is not installed; {install(error)}"
    except ArgumentError as error:
        return f"is not an address that SQLAlchemy knows ({named(error)})"
    return None


def _server_problem(uri: str) -> str | None:
    try:
        parts = urlsplit(uri)
        if not parts.hostname or parts.port == 0:
            return "names no host; write http://HOST:PORT"
    except ValueError as error:
        return f"is not a valid address ({error}); write http://HOST:PORT"
    if any(f"MLFLOW_TRACKING_{name}" in os.environ for name in _OWN_ACCESS):
        return None
    question = f"{uri.rstrip('/')}/api/2.0/mlflow/experiments/search?max_results=1"
    try:
        urllib.request.urlopen(question, timeout=_PATIENCE).close()
    except urllib.error.HTTPError as error:
        if error.code in (404, 405, 501):
            return f"a server answers there, but it is not MLflow's (status {error.code}); check host, port and path"
        if error.code == 401:
            return "the server wants a login; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        if error.code == 403:
            return f"the server refuses this machine (status 403: {_first_words(error)}); see its --allowed-hosts"
    except (OSError, ValueError):  # down, slow, or behind something that only MLflow's client can pass
        return None
    return None


def _first_words(error: urllib.error.HTTPError) -> str:
    return " ".join(error.read(200).decode(errors="replace").split()) or error.reason


def _file_problem(uri: str) -> str | None:
    file = database_file(uri)
    if file is None or uri.rstrip("/").endswith((":memory:", "sqlite:")):
        return "names no file; write sqlite:///mlflow.db"
    if "?" in uri:
        return "an SQLite address must have no options; write %3F for a question mark in a file's name"
    try:
        str(file).encode()
    except UnicodeEncodeError:
        return f"MLflow cannot use {str(file)!a}, a path that is not UTF-8"
    if file.is_dir():
        return f"{file} is a folder; name a file in it"
    try:
        LocalPlace(file.parent).check()
        return _content_problem(uri, file) if file.exists() else None
    except OSError as error:
        return f"MLflow cannot write {file} ({error.strerror or error})"


def _content_problem(uri: str, file: Path) -> str | None:
    """What is wrong with an existing database; None if nothing is."""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=rw", uri=True, timeout=1.0)) as database:
            database.execute("BEGIN IMMEDIATE")
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            version = database.execute("SELECT * FROM alembic_version") if "alembic_version" in tables else iter(())
            found = next(iter(version), None)
    except sqlite3.OperationalError as error:
        if "locked" in str(error):  # by another sweep, so it is usable
            return None
        return f"MLflow cannot write {file} ({error})"
    except sqlite3.DatabaseError as error:
        return f"{file} is not an SQLite database ({error})"
    return None if found is None else _schema_problem(uri, str(found[0]))


def _schema_problem(uri: str, version: str) -> str | None:
    """Compare a database's schema version with the migrations that the installed MLflow has, a file each."""
    home = importlib.util.find_spec("mlflow")
    assert home is not None
    assert home.origin is not None
    texts = [file.read_text() for file in (Path(home.origin).parent / "store/db_migrations/versions").glob("*.py")]
    known, earlier = (
        {match[1] for text in texts if (match := re.search(rf"^{name}\b.*=\s*[\"'](\w+)", text, re.MULTILINE))}
        for name in ("revision", "down_revision")
    )
    if not known or known - earlier == {version}:
        return None
    if version in known:
        return f"its database has an older schema ({version}); back it up, then run: mlflow db upgrade '{uri}'"
    return (
        f"its database has the schema {version}, which this MLflow does not know; upgrade MLflow, or name another file"
    )
