"""A node that differs from the others is reported in one line before the first trial."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.drill import services
from tests.drill.cluster import Cluster, Node
from tests.orchestrator.command import Command

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("ray"),
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root, to hide a folder"),
]


class _Stranger(Node):
    """A node on which a folder is empty, although it has files on other nodes."""

    hidden: Path

    def command(self) -> Sequence[str | Path]:
        hide = f'mount -t tmpfs none "{self.hidden}" && exec "$@"'
        return ("unshare", "--mount", "sh", "-c", hide, "sh", *super().command())


def test_a_node_without_the_storage_and_one_with_another_version_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with services.home() as home:
        hidden, seen, library = home / "hidden", home / "seen", home / "library"
        for folder in (hidden, seen, library / "pydantic-0.1.dist-info"):
            folder.mkdir(parents=True)
        (library / "pydantic-0.1.dist-info" / "METADATA").write_text("Name: pydantic\nVersion: 0.1\n")
        cluster = Cluster(home)
        for name, value in cluster.environment.items():
            monkeypatch.setenv(name, value)
        environment = {**cluster.environment, "PYTHONPATH": str(library)}
        start = ("--address", cluster.address)
        stranger = _Stranger("stranger", home, address="127.0.0.4", start=start, environment=environment)
        stranger.hidden = hidden
        try:
            cluster.start()
            stranger.start()
            code, _, errors = Command(hidden, arguments=("--address", cluster.address), patience=300).run()
            assert (code, errors.count("\n")) == (2, 1)
            assert "error: --storage: node 127.0.0.4:" in errors
            assert "does not see" in errors
            code, _, errors = Command(seen, arguments=("--address", cluster.address), patience=300).run()
            assert (code, errors.count("\n")) == (2, 1)
            assert "has pydantic 0.1 where this machine has" in errors
        finally:
            stranger.kill()
            cluster.kill()
