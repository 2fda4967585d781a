"""Workers that a real local Ray has made by forks: as if each had been started alone, and without imports."""

import os
import random
import signal
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from orchestrator.running.cluster import cluster
from orchestrator.running.fork_server import fork_server
from orchestrator.running.forked_worker import FORK_SERVER
from orchestrator.spec.sweep_config import SweepConfig
from tests.orchestrator.command import descendants, living
from tests.orchestrator.tracking.mirrored import wait_until

pytestmark = [
    pytest.mark.xdist_group("ray"),
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning:ray", "ignore::FutureWarning:ray", "ignore::ResourceWarning"
    ),
]


class _Probe:
    """Tells what its process is like, without importing anything for it."""

    def look(self) -> dict[str, Any]:
        return {
            "process": os.getpid(),
            "session": os.getsid(0),
            "parent": os.getppid(),
            "imported": {"orchestrator.training.loop", "ray.train.torch"} <= sys.modules.keys(),
            "worker": ray.get_runtime_context().get_worker_id(),
            "drawn": (random.random(), uuid.uuid4()),
            "input": os.readlink("/proc/self/fd/0"),
            "of children": signal.getsignal(signal.SIGCHLD),
            "asked for": os.environ.get("ASKED_FOR"),
        }


_REMOTE: Any = ray.remote(num_cpus=0)(_Probe)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The process id of the fork server, with a Ray that is started beside it."""
    before = descendants(os.getpid())
    with fork_server(threads=1):
        (made,) = descendants(os.getpid()) - before
        log = tmp_path_factory.mktemp("ray") / "ray.log"
        sweep = SweepConfig(name="s", trials=1, metric="score")
        with cluster(sweep, data_bytes=1, log=log, address=None, storage=str(log.parent)):
            yield made
    assert FORK_SERVER not in os.environ
    assert not living({made})


def _looks(count: int, **options: Any) -> list[dict[str, Any]]:
    probes = [_REMOTE.options(**options).remote() for _ in range(count)]
    looks: Any = ray.get([probe.look.remote() for probe in probes])
    return looks


def test_workers_come_with_the_imports_done_and_have_nothing_in_common(server: int) -> None:
    looks = _looks(3)
    assert {look["parent"] for look in looks} == {server}
    assert all(look["imported"] for look in looks)
    for own in ("process", "session", "worker", "drawn"):
        assert len({look[own] for look in looks}) == 3, own
    assert {(look["input"], look["of children"]) for look in looks} == {(os.devnull, signal.SIG_DFL)}


def test_a_worker_has_the_environment_that_is_asked_for(server: int) -> None:
    (look,) = _looks(1, runtime_env={"env_vars": {"ASKED_FOR": "this"}})
    assert (look["parent"], look["asked for"]) == (server, "this")


def test_a_worker_that_is_killed_leaves_nothing(server: int) -> None:
    probe = _REMOTE.remote()
    look: Any = ray.get(probe.look.remote())
    ray.kill(probe)
    wait_until(lambda: not Path(f"/proc/{look['process']}").exists())  # not even what nobody has asked for


def test_without_a_server_workers_are_started_as_ever(server: int) -> None:
    os.kill(server, signal.SIGKILL)
    (look,) = _looks(1, runtime_env={"env_vars": {"ASKED_FOR": "that"}})
    assert look["parent"] != server
    assert (look["imported"], look["asked for"]) == (False, "that")
