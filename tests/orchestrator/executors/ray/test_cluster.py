"""The start and end of Ray, without one."""

import gc
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from orchestrator.config.sweep import SweepConfig
from orchestrator.core.errors import UserError
from orchestrator.executors.ray import cluster as clusters


class Reference:
    """Stands for an object reference; in a cycle only the garbage collector frees it."""

    def __init__(self) -> None:
        self.cycle = self


@pytest.fixture(autouse=True)
def collector_by_hand() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_no_reference_is_left_to_the_collector_while_ray_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []

    def shutdown() -> None:
        events.append("shutdown begins")
        assert not gc.isenabled()
        collecting = threading.Thread(target=gc.collect)  # as another thread may at any moment
        collecting.start()
        collecting.join()
        events.append("shutdown ends")

    monkeypatch.setattr(clusters, "_start", lambda *given, **named: None)
    monkeypatch.setattr(clusters.cluster_checks, "require_room", lambda sweep: None)
    monkeypatch.setattr("ray.shutdown", shutdown)
    sweep = SweepConfig(name="s", trials=1, metric="score")
    with clusters.cluster(sweep, data_bytes=1, log=tmp_path / "ray.log", address=None, storage=str(tmp_path)):
        weakref.finalize(Reference(), events.append, "a reference is freed")
        gc.enable()
    assert events == ["a reference is freed", "shutdown begins", "shutdown ends"]
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_ray_that_does_not_start_is_reported_in_one_line(monkeypatch, tmp_path):
    def init(**_):
        raise Exception("The current node timed out during startup.\nThis could happen because ...")

    monkeypatch.setattr("ray.init", init)
    sweep = SweepConfig(name="s", trials=1, metric="score")
    place = {"log": tmp_path / "ray.log", "address": None, "storage": str(tmp_path)}
    with pytest.raises(UserError) as caught, clusters.cluster(sweep, data_bytes=1, **place):
        pass
    assert str(caught.value).startswith("Ray did not start: The current node timed out during startup. (more in ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("length", "options"), [(39, {}), (40, {"_temp_dir": "/tmp/ray"})])
def test_a_folder_too_long_for_sockets_is_not_ray_s(
    monkeypatch: pytest.MonkeyPatch, length: int, options: dict
) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", "/" + "x" * (length - 1))
    assert clusters._short_folder() == options


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (Exception("The current node timed out during startup."), "less busy"),
        (TimeoutError("Timed out after 30 seconds"), "less busy"),
        (PermissionError(13, "Permission denied", "/tmp/ray"), "make this path writable"),
        (ValueError("The configured object store size exceeds /dev/shm"), ""),
    ],
)
def test_a_remedy_fits_what_went_wrong(error: Exception, remedy: str) -> None:
    assert remedy in clusters._remedy(error)
    assert bool(remedy) == bool(clusters._remedy(error))


def test_a_token_that_has_no_home_is_passed_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of the user")
    monkeypatch.setattr("os.access", lambda path, mode: False)
    clusters._provide_token()
    assert clusters.os.environ["RAY_AUTH_TOKEN"] == "of the user"
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    clusters._provide_token()
    assert len(clusters.os.environ["RAY_AUTH_TOKEN"]) == 64
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    monkeypatch.setattr("os.access", lambda path, mode: True)
    clusters._provide_token()
    assert "RAY_AUTH_TOKEN" not in clusters.os.environ


@pytest.mark.parametrize(
    ("shared", "disk", "fits"),
    [(1_300_000_000, 0, True), (64_000_000, 1_100_000_000, True), (64_000_000, 1_000_000_000, False)],
)
def test_images_that_fit_nowhere_are_rejected_before_ray_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: int, disk: int, fits: bool
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "/tmp/not/there/yet")
    monkeypatch.setattr(
        "shutil.disk_usage", lambda path: SimpleNamespace(free={"/dev/shm": shared, "/tmp": disk}[str(path)])
    )
    if fits:
        clusters._require_space(1_000_000_000)
    else:
        with pytest.raises(UserError, match=r"has 64 MB free, and /tmp/not/there/yet, which Ray uses instead, 1000 MB"):
            clusters._require_space(1_000_000_000)
