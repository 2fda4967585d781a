"""A step's phases are kernels on tensors of fixed place: recorded once, they train on as they would have anyway."""

from collections.abc import Callable, Hashable
from typing import Any

import pytest
import torch

from orchestrator import build
from orchestrator.training import hardware, step
from orchestrator.training.loop import Training
from tests.orchestrator.test_every_combination import METHODS, RECIPES
from tests.orchestrator.tiny_run import tiny_run
from tests.recorded import Recording, record

CPU = torch.device("cpu")
WARM_UP = 2
STEPS = 6
LAYERS: dict[str, dict[str, Any]] = {
    "simclr": {"msr": {}, "augself": {"hidden": 16}},
    "moco_v2": {"background": {"kind": "swap", "p_query": 1.0, "p_key": 1.0, "p_negative": 1.0}},
    "byol": {"msr": {"schedule": "step"}, "background": {"kind": "random", "p_query": 1.0, "p_key": 1.0}},
    "simsiam": {"augself": {"hidden": 16}, "msr": {}},
    "swav": {"augself": {"hidden": 16}},
    "supervised": {"background": {"kind": "remove", "p_query": 1.0, "p_key": 1.0, "p_negative": 0.0}},
}


class Recorded:
    """In the place of `Replayed`: a recording on the CPU for each graph on a GPU."""

    def __init__(self, work: Callable[[], Any], key: Callable[[], Hashable]) -> None:
        self._work, self._key = work, key
        self._calls: dict[Hashable, int] = {}
        self.recordings: dict[Hashable, Recording] = {}

    def __call__(self) -> Any:
        key = self._key()
        self._calls[key] = self._calls.get(key, 0) + 1
        if self._calls[key] <= WARM_UP:
            return self._work()
        if key in self.recordings:
            self.recordings[key].replay()
        else:
            self.recordings[key] = record(self._work)
        return self.recordings[key].result


def training_of(method: str, optimizer: str) -> Training:
    """With its learning rates where a GPU has them, in tensors, and the kernels that read them there."""
    settings = METHODS[method] | ({"freeze": 0.4, "queue_size": 24, "queue_start": 0.3} if method == "swav" else {})
    run = tiny_run(
        method=settings,
        addons=LAYERS[method],
        augment={"recipes": RECIPES},
        optimizer={"name": optimizer, "warmup_epochs": 0.5},
    )
    training = Training(run, build.load_data(run), CPU)
    for group in training.optimizer.param_groups:
        group["lr"] = torch.tensor(group["lr"])
        if optimizer == "sgd":
            group |= {"foreach": None, "fused": True}
    return training


def trained(method: str, optimizer: str) -> tuple[Training, list[torch.Tensor]]:
    training = training_of(method, optimizer)
    with hardware.arithmetic(1, CPU):
        batches = torch.cat([training.images.order(epoch)[:64] for epoch in (1, 2)]).split(16)
        losses = [
            training.train_step(rows, 1 + number // 4).total.detach().clone()
            for number, rows in enumerate(batches[:STEPS])
        ]
    return training, losses


@pytest.mark.parametrize(("method", "optimizer"), [(method, "sgd") for method in sorted(LAYERS)] + [("byol", "lars")])
def test_replayed_steps_train_as_steps_do(method, optimizer, monkeypatch):
    plain, losses = trained(method, optimizer)
    monkeypatch.setattr(hardware, "captures", lambda device: True)
    monkeypatch.setattr(step, "Replayed", Recorded)
    replayed, others = trained(method, optimizer)
    phases = [replayed._optimise._load, replayed._optimise._augment, replayed._optimise._learn]
    assert [len(phase.recordings) for phase in phases] == ([2] * 3 if method == "swav" else [1] * 3)
    assert torch.equal(torch.stack(losses), torch.stack(others))
    ours, theirs = plain.state_dict(), replayed.state_dict()
    assert torch.equal(ours["part_sums"], theirs["part_sums"])
    for name, value in ours["objective"].items():
        assert torch.equal(value, theirs["objective"][name]), name
