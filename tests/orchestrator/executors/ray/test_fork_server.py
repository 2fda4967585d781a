"""Workers that a real local Ray has made by forks: as if each had been started alone, and without imports."""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.orchestrator.command import PATIENCE, ROOT

pytestmark = pytest.mark.xdist_group("ray")


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.orchestrator.executors.ray.forked_ray", str(tmp_path_factory.mktemp("ray"))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_workers_come_with_the_imports_done_and_have_nothing_in_common(seen: dict[str, Any]) -> None:
    looks = seen["several"]
    assert {look["parent"] for look in looks} == {seen["server"]} != {seen["driver"]}
    assert all(look["imported"] for look in looks)
    for own in ("process", "session", "worker", "drawn"):
        assert len({str(look[own]) for look in looks}) == 3, own
    assert all(look["input"] == "/dev/null" and look["of children"] and look["product"] == 300**3 for look in looks)


def test_a_worker_has_the_environment_that_is_asked_for(seen: dict[str, Any]) -> None:
    (look,) = seen["asked"]
    assert (look["parent"], look["asked for"]) == (seen["server"], "this")


def test_a_worker_that_is_killed_leaves_nothing(seen: dict[str, Any]) -> None:
    assert seen["gone"]


def test_without_the_server_workers_are_started_as_ever(seen: dict[str, Any]) -> None:
    (look,) = seen["alone"]
    assert look["parent"] != seen["server"]
    assert (look["imported"], look["asked for"]) == (False, "that")
    assert not seen["left"]
