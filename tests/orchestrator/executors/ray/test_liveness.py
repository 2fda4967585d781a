"""Detection of a Ray that is stopped from outside, tested without starting Ray."""

import socket
import threading
import time
from pathlib import Path

import pytest
from ray.tune.experiment import Trial

from orchestrator.executors.ray import executor, liveness
from tests.orchestrator.sweep.test_full_disk import open_ledger


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "_INTERVAL", 0.01)
    monkeypatch.setattr(executor, "_LAST_CALLS", 0.01)


def test_a_sweep_ends_in_order_when_its_ray_is_stopped_and_no_call_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = threading.Event()
    monkeypatch.setattr(executor, "_tune", lambda *given: never.wait(60))
    monkeypatch.setattr(liveness, "_is_private", lambda: True)
    monkeypatch.setattr(liveness, "_private_gone", lambda: "the Ray of this sweep")
    ledger = open_ledger(tmp_path / "s")
    executor.execute(ledger, print, shared={}, is_over=lambda: False)
    never.set()
    assert ledger.closing == "the Ray of this sweep was stopped from outside"


def test_a_trial_that_crashes_because_ray_is_gone_has_not_failed(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path / "s")
    number = ledger.next()
    assert number is not None
    ledger.started(number)
    lost = threading.Event()
    lost.set()
    executor._Events(ledger, lost).on_trial_error(0, [], Trial.__new__(Trial))
    assert ledger.trials[number].state == "running"


def test_a_cluster_s_head_may_be_away_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "_ABSENCE", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as head:
        address = f"127.0.0.1:{head.getsockname()[1]}"
        gone = liveness._joined_gone(address)
        assert gone() is None
    assert gone() is None
    time.sleep(0.06)
    assert gone() == f"the Ray cluster at {address}"
