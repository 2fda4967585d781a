"""Checks of a cluster that can be tested without one; the rest is in tests/drill."""

import os
import socket
from pathlib import Path

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from orchestrator.config.sweep import SweepConfig
from orchestrator.core import registry
from orchestrator.core.errors import UserError
from orchestrator.executors.ray import cluster_checks

ROOT = Path(__file__).parents[4]


def _sweep(**changes: float) -> SweepConfig:
    return SweepConfig.model_validate({"name": "s", "trials": 1, "metric": "score", **changes})


def _cluster(monkeypatch: pytest.MonkeyPatch, *resources: dict[str, float], growing: bool = False) -> None:
    there = [{"Alive": True, "Resources": node} for node in resources] + [{"Alive": False, "Resources": {"CPU": 99.0}}]
    monkeypatch.setattr("ray.nodes", lambda: there)
    grown = {"CPU": 64} if growing else None
    monkeypatch.setattr(cluster_checks.cluster_state, "get_max_resources_from_cluster_config", lambda: grown)


def test_an_address_without_a_listener_is_refused_at_once() -> None:
    with socket.socket() as bound:  # reserves the port without listening, so that no other process takes it
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(UserError, match="no Ray cluster answers there"):
            cluster_checks.locate(f"127.0.0.1:{bound.getsockname()[1]}")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        cluster_checks.locate(f"127.0.0.1:{listening.getsockname()[1]}")


@pytest.mark.parametrize("address", ["ray://127.0.0.1:10001", "head", "head:", ":6379", "head:port"])
def test_what_is_no_address_of_a_head_is_refused_with_the_way(address: str) -> None:
    with pytest.raises(UserError, match="must be host:port"):
        cluster_checks.locate(address)


def test_auto_takes_what_was_started_as_a_cluster_and_nothing_private(monkeypatch: pytest.MonkeyPatch) -> None:
    private = {"127.0.0.1:1", "127.0.0.1:2"}
    monkeypatch.setattr(cluster_checks, "is_private", private.__contains__)
    monkeypatch.setattr(cluster_checks, "maybe_enable_token_auth_if_token_available", lambda **named: None)
    monkeypatch.setattr(cluster_checks, "ensure_token_if_auth_enabled", lambda **named: None)
    running, latest = set(private), "127.0.0.1:1"
    monkeypatch.setattr(cluster_checks.services, "find_gcs_addresses", lambda: running)
    monkeypatch.setattr(cluster_checks.services, "find_bootstrap_address", lambda folder: latest)
    with pytest.raises(UserError, match="--address auto: this machine belongs to no Ray cluster"):
        cluster_checks.locate("auto")
    running.add("10.0.0.1:6379")
    assert cluster_checks.locate("auto") == "10.0.0.1:6379"
    running.add("10.0.0.1:6380")
    with pytest.raises(UserError, match=r"several clusters: 10\.0\.0\.1:6379, 10\.0\.0\.1:6380; name one"):
        cluster_checks.locate("auto")
    latest = "10.0.0.1:6380"
    assert cluster_checks.locate("auto") == latest


def test_workers_are_counted_node_by_node(monkeypatch: pytest.MonkeyPatch) -> None:
    _cluster(monkeypatch, {"CPU": 3.0}, {"CPU": 3.0})
    cluster_checks.require_room(_sweep(workers=2, cpus_per_worker=2))
    with pytest.raises(
        UserError, match=r"sweep\.workers <= 2 must hold on these 2 nodes .*cpus_per_worker = 2.* got 3"
    ):
        cluster_checks.require_room(_sweep(workers=3, cpus_per_worker=2))
    with pytest.raises(UserError, match=r"sweep\.cpus_per_worker <= 3 must hold on the largest node, got 4"):
        cluster_checks.require_room(_sweep(cpus_per_worker=4))
    with pytest.raises(UserError, match=r"sweep\.gpus_per_worker <= 0 must hold"):
        cluster_checks.require_room(_sweep(gpus_per_worker=0.5))


def test_shares_of_a_gpu_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    _cluster(monkeypatch, {"CPU": 16.0, "GPU": 1.0})
    cluster_checks.require_room(_sweep(workers=4, gpus_per_worker=0.25))
    with pytest.raises(UserError, match=r"sweep\.workers <= 4 must hold on this machine"):
        cluster_checks.require_room(_sweep(workers=5, gpus_per_worker=0.25))


def test_a_cluster_that_grows_is_not_judged_by_its_head(monkeypatch: pytest.MonkeyPatch) -> None:
    _cluster(monkeypatch, {"CPU": 0.0}, growing=True)
    cluster_checks.require_room(_sweep(gpus_per_worker=1.0))


def test_the_user_s_own_packages_travel_with_the_house(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "travelling").mkdir()
    (tmp_path / "travelling" / "method.py").write_text(
        "from augment.config import Config as Base\nclass Config(Base):\n    '''Nothing.'''\n"
    )
    monkeypatch.setattr(registry, "_user_packages", set())  # those of other tests are gone
    monkeypatch.syspath_prepend(str(tmp_path))
    registry.find("methods", "travelling.method")
    sources = cluster_checks.code()
    assert str(tmp_path / "travelling") in sources
    assert all(os.path.isdir(ROOT / name) and str(ROOT / name) in sources for name in ("augment", "methods"))


def test_the_example_of_a_growing_cluster_fits_the_launcher_s_schema() -> None:
    example = yaml.safe_load((ROOT / "search_spaces" / "clusters" / "aws.yaml").read_text())
    validate_config(prepare_config(example))
    example["available_node_types"]["gpu"]["max_wrkers"] = 8
    with pytest.raises(Exception, match="max_wrkers"):
        validate_config(prepare_config(example))
