"""Several workers train what one trains: the same numbers, whatever crosses from one to another, and no hanging."""

import io
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.orchestrator.training.shared_out import after_five_steps, troubles, whole_training
from tests.orchestrator.training.test_every_combination import METHODS
from tests.orchestrator.training.test_loop import flat
from tests.ranks import on_ranks

TOLERANCE = 1e-10  # relative; they differ by 1e-12 at most
LAST = 12  # step of two epochs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def alone(folder: Path) -> dict[str, dict[str, Any]]:
    return on_ranks(1, folder / "one", after_five_steps)[0]


def off(ours: Tensor, theirs: Tensor, scale: Tensor) -> bool:
    return bool((ours.double() - theirs.double()).abs().max() > TOLERANCE * scale)


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Names of what two ranks do not have in common."""
    assert one["losses"].keys() == other["losses"].keys()
    # A bias before a batch-norm has gradients that are nothing but rounding: what counts is the size of them all.
    largest = torch.stack([gradient.abs().max() for gradient in one["gradients"].values()]).max()
    found = [name for name, value in one["losses"].items() if off(other["losses"][name], value, value.abs())]
    found += [
        f"gradient of {name}" for name, g in one["gradients"].items() if off(other["gradients"][name], g, largest)
    ]
    found += [
        name for name, value in one["state"].items() if off(other["state"][name], value, value.double().abs().max())
    ]
    return found


@pytest.mark.parametrize("world_size", [2, 3])
def test_five_steps_of_every_method_and_layer_are_those_of_one_rank(world_size, alone, folder):
    assert len(alone) >= 3 * len(METHODS)
    shared = on_ranks(world_size, folder / f"{world_size}", after_five_steps)
    for rank in shared:
        assert not {name: found for name in alone if (found := differences(alone[name], rank[name]))}


def test_queues_had_gone_round_by_then(alone):
    counted = [
        (state[name], len(state[name.replace("count", "rows")]))
        for state in (run["state"] for run in alone.values())
        for name in state
        if name.endswith(".count")
    ]
    assert len(counted) >= 3 * (1 + 1 + 2)
    assert all(count > size for count, size in counted)


def test_training_goes_on_with_another_number_of_ranks(folder):
    """Two ranks, then three, then one, in mid-epoch each time, against one that trains all of it."""
    two = on_ranks(2, folder / "first", whole_training, None, 4)
    three = on_ranks(3, folder / "then", whole_training, two[0]["state"], 8)
    (last,) = on_ranks(1, folder / "last", whole_training, three[0]["state"], LAST)
    (whole,) = on_ranks(1, folder / "whole", whole_training, None, LAST)
    for one in (two[0], three[0], last):
        assert [report.keys() for report in one["reports"]] == [report.keys() for report in whole["reports"]]
        for report, expected in zip(one["reports"], whole["reports"], strict=True):
            assert report == pytest.approx(expected, rel=1e-9)
            assert report["val_knn/1"] == expected["val_knn/1"]
    for other in (*two[1:], *three[1:]):
        assert other["events"] == []  # rank 0 alone reports, saves and exports
    ours, theirs = (flat(torch.load(io.BytesIO(one["state"]), weights_only=True)) for one in (last, whole))
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        if isinstance(value, Tensor):
            assert not off(ours[name], value, value.double().abs().max()), name


def test_what_befalls_one_rank_is_heard_by_all(folder):
    first, second = on_ranks(2, folder / "troubles", troubles)
    gone = first.pop("alone")
    assert first == second
    assert first["odd batch"].startswith("UserError: run.training.batch_size = 13: it must be a multiple of 2")
    assert first["disk full"] == "OSError: [Errno 28] No space left on device"
    assert first["not finite"].startswith("Diverged: epoch 1, step 1: loss not finite")
    assert "drifted apart in 1 tensors: method.encoder.conv1.weight" in first["drifted"]
    assert gone.startswith(("RuntimeError", "DistBackendError", "DistNetworkError"))
