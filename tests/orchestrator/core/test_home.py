import os
from pathlib import Path

import pytest

from orchestrator.core.home import home_provided


def test_without_a_home_a_private_one_lasts_as_long_as_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", _missing)
    with home_provided():
        home = Path.home()
        assert home.stat().st_mode & 0o777 == 0o700
        (home / ".cache").mkdir()
    assert not home.exists()
    assert "HOME" not in os.environ
    assert capsys.readouterr().err.startswith("note: HOME is not set and user ")


def test_a_process_forked_meanwhile_leaves_the_home_to_its_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", _missing)
    with monkeypatch.context() as child, home_provided():
        home = Path.home()
        child.setattr("os.getpid", lambda: -1)
    assert home.exists()
    home.rmdir()


def test_a_read_only_home_is_kept(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("HOME", "/proc")
    with home_provided():
        assert Path.home() == Path("/proc")
    assert capsys.readouterr().err == ""


def _missing(user: int) -> None:
    raise KeyError(user)
