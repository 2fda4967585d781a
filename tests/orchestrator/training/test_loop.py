import io
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

from augment import draws
from augment.views import Batch
from methods.objective import Objective
from orchestrator.config.run import RunConfig
from orchestrator.core.errors import UserError
from orchestrator.data.images import ImageSet
from orchestrator.training import assembly, loop, planning
from orchestrator.training.context import Diverged
from orchestrator.training.parts import Data
from tests.orchestrator.tiny_run import Killed, Surroundings, timeless, tiny_run

SIMCLR = {"name": "simclr", "projector_hidden": 16, "projector_outputs": 8}
CHEAP = {"knn": {}, "collapse": {}}


def trained(run: RunConfig, **how: Any) -> Surroundings:
    surroundings = Surroundings(**how)
    assembly.train(run, assembly.load_data(run), surroundings)
    return surroundings


def flat(state: Any, path: str = "") -> dict[str, Any]:
    """Every leaf of a nested state, by path."""
    if isinstance(state, dict):
        return {k: v for key, part in state.items() for k, v in flat(part, f"{path}/{key}").items()}
    if isinstance(state, list | tuple):
        return {k: v for i, part in enumerate(state) for k, v in flat(part, f"{path}/{i}").items()}
    return {path: state}


def assert_equal_states(a: bytes, b: bytes) -> None:
    """Bitwise, but for the clock."""
    left, right = (
        {k: v for k, v in flat(torch.load(io.BytesIO(raw), weights_only=True)).items() if "/time/" not in k}
        for raw in (a, b)
    )
    assert left.keys() == right.keys()
    for name, value in left.items():
        same = torch.equal(value, right[name]) if isinstance(value, torch.Tensor) else value == right[name]
        assert same, f"{name} differs"


@pytest.mark.parametrize(
    ("method", "optimizer"),
    [
        ({"name": "byol", "hidden": 16, "outputs": 8}, {"name": "sgd"}),
        (SIMCLR, {"name": "lars", "warmup_epochs": 0.5}),
    ],
)
def test_resume_at_any_step_is_bitwise_the_run_never_stopped(method, optimizer):
    # 72 images in batches of 16: four steps an epoch, two epochs.
    run = tiny_run(method=method, optimizer=optimizer, training={"checkpoint_steps": 1}, evaluation=CHEAP)
    whole = trained(run)
    assert sorted(whole.states) == list(range(1, 9))
    for step in (1, 4, 6, 8):
        resumed = trained(run, saved=whole.states[step])
        assert timeless(resumed.reports) == timeless(whole.reports)
        last = resumed.states.get(8, whole.states[step])
        assert_equal_states(last, whole.states[8])
        for name, value in whole.exported[0].items():
            assert torch.equal(value, resumed.exported[0][name])


def test_a_kill_in_mid_epoch_leaves_what_the_next_start_needs():
    run = tiny_run(training={"checkpoint_steps": 3}, evaluation=CHEAP)
    killed = Surroundings(kill_at=6)
    with pytest.raises(Killed):
        assembly.train(run, assembly.load_data(run), killed)
    assert [report["epoch"] for report in killed.reports] == [1]
    resumed = trained(run, saved=killed.states[6])
    # The first epoch is reported again, so that no report between a checkpoint and its receiver is lost.
    assert timeless(resumed.reports)[:1] == timeless(killed.reports)
    assert [report["epoch"] for report in resumed.reports] == [1, 2]


def test_resume_state_holds_the_twin_and_the_momentum():
    names = flat(torch.load(io.BytesIO(trained(tiny_run(evaluation=CHEAP)).states[8]), weights_only=True))
    assert any("twin" in name for name in names)
    assert any("momentum_buffer" in name for name in names)


def test_checkpoint_interval_changes_no_number():
    reports = [
        timeless(trained(tiny_run(training={"checkpoint_steps": steps}, evaluation=CHEAP)).reports)
        for steps in (None, 3)
    ]
    # The interval is part of the run's identity, not of its numbers.
    assert reports[0] == reports[1]


def test_checkpoint_of_another_run_is_refused():
    saved = trained(tiny_run(evaluation=CHEAP)).states[4]
    with pytest.raises(UserError, match="belongs to another run"):
        trained(tiny_run(evaluation=CHEAP, optimizer={"lr": 0.5}), saved=saved)


def test_reports_are_complete_and_the_export_precedes_the_last():
    run = tiny_run()
    surroundings = trained(run)
    assert surroundings.events == ["checkpoint", "report", "checkpoint", "export", "report"]
    first, last = surroundings.reports
    assert (first["epoch"], first["finished"], last["epoch"], last["finished"]) == (1, 0, 2, 1)
    every_epoch = {"loss", "lr", "msr/weight", "val_knn/1", "val_knn/1_se", "feature_std", "rankme"}
    at_the_end = {"linear_val/2", "linear_val/2_se", "view_retrieval/1", "view_retrieval/1_se"}
    assert every_epoch <= first.keys()
    assert not at_the_end & first.keys()
    assert every_epoch | at_the_end <= last.keys()
    assert {"time/epoch", "time/images_per_second", "time/augmentation", "time/training", "time/evaluation"} <= set(
        last
    )
    assert "time/checkpoint" in last
    assert sum(last[f"time/{part}"] for part in ("augmentation", "training", "evaluation", "checkpoint")) <= 1
    card = surroundings.exported[1]
    assert card["metrics"]["val_knn/1"] == last["val_knn/1"]


def test_reported_schedules_are_means_over_the_steps_of_the_epoch():
    run = tiny_run(addons={"msr": {"base_weight": 0.4, "schedule": "cosine"}}, evaluation=CHEAP)
    expected = [0.4 * (np.cos(np.pi * np.arange(a, a + 4) / 8) + 1).mean() / 2 for a in (1, 5)]
    assert [r["msr/weight"] for r in trained(run).reports] == pytest.approx(expected, rel=1e-5)


def test_training_equals_a_loop_written_out():
    """Against autograd, torch's SGD and the schedule's closed form, with nothing of the loop but the data order."""
    run = tiny_run(method=SIMCLR, addons={}, evaluation={}, training={"precision": "fp32"})
    surroundings = trained(run)

    data = assembly.load_data(run)
    objective: Objective = assembly.objective(run)
    pipeline = planning.pipeline(run, objective.plan, data.card)
    optimizer = torch.optim.SGD(objective.parameters(), lr=1, momentum=0.9, weight_decay=5e-4)
    images = torch.tensor(data.splits["train"].images).permute(0, 3, 1, 2) / 255
    losses = []
    for k in range(8):
        order = draws.permutation(run.seed, 1 + k // 4, 72)
        rows = order[16 * (k % 4) : 16 * (k % 4) + 16]
        total = objective(pipeline(Batch(images[rows]), rows, 1 + k // 4), None, torch.tensor((k + 1) / 8)).total
        optimizer.zero_grad()
        total.backward()
        optimizer.param_groups[0]["lr"] = 0.4 * 16 / 256 * (np.cos(np.pi * k / 8) + 1) / 2
        optimizer.step()
        losses.append(total.item())
    assert [r["loss"] for r in surroundings.reports] == pytest.approx(
        [np.mean(losses[:4]), np.mean(losses[4:])], rel=1e-4
    )
    for name, value in objective.encoder.state_dict().items():
        torch.testing.assert_close(surroundings.exported[0][name], value, rtol=1e-3, atol=1e-5)


def test_epochs_visit_every_row_once_in_whole_batches_and_in_another_order(monkeypatch):
    run = tiny_run(evaluation={})
    training = assembly.training(run, assembly.load_data(run), torch.device("cpu"))
    seen, train_step = [], training.train_step
    note = lambda rows, epoch: seen.append((epoch, rows.tolist())) or train_step(rows, epoch)  # noqa: E731
    monkeypatch.setattr(training, "train_step", note)
    for _ in range(2):
        training.run_epoch(Surroundings())
    assert [epoch for epoch, _ in seen] == [1] * 4 + [2] * 4
    assert all(len(rows) == 16 for _, rows in seen)
    first, second = ([row for e, rows in seen if e == epoch for row in rows] for epoch in (1, 2))
    assert len(set(first)) == len(set(second)) == 64
    assert set(first) | set(second) <= set(range(72))
    assert first != second


def test_training_depends_on_the_seed_alone():
    losses = [trained(tiny_run(seed=seed, evaluation={})).reports[-1]["loss"] for seed in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize("checkpoint_steps", [None, 1])
def test_divergence_is_named_and_never_saved(checkpoint_steps):
    run = tiny_run(optimizer={"lr": 1e30}, training={"checkpoint_steps": checkpoint_steps}, evaluation=CHEAP)
    surroundings = Surroundings()
    with pytest.raises(Diverged, match=r"epoch 1.*loss.*not finite at learning rate"):
        assembly.train(run, assembly.load_data(run), surroundings)
    assert not surroundings.reports
    for raw in surroundings.states.values():
        assert torch.load(io.BytesIO(raw), weights_only=True)["part_sums"].isfinite().all()


def test_data_may_be_read_only_and_are_not_modified():
    run = tiny_run(evaluation=CHEAP)
    loaded = assembly.load_data(run)
    before = {name: split.images.copy() for name, split in loaded.splits.items()}
    for split in loaded.splits.values():
        for array in (split.images, split.labels, split.masks):
            array.flags.writeable = False
    assembly.train(run, loaded, Surroundings())
    for name, split in loaded.splits.items():
        assert np.array_equal(split.images, before[name])


def test_training_without_labels_needs_none():
    run = tiny_run(evaluation={"view_retrieval": {"every": 1}, "collapse": {}})
    loaded = assembly.load_data(run)
    bare = Data(loaded.card, {name: ImageSet(split.images) for name, split in loaded.splits.items()})
    surroundings = Surroundings()
    assembly.train(run, bare, surroundings)
    assert all("view_retrieval/1" in report for report in surroundings.reports)


def test_batch_beyond_the_data_and_endless_warmup_are_refused():
    with pytest.raises(UserError, match="exceeds the 72 training images; use at most 72"):
        trained(tiny_run(training={"batch_size": 73}))
    with pytest.raises(UserError, match=r"must be less than the whole budget, run\.training\.epochs = 2"):
        trained(tiny_run(optimizer={"warmup_epochs": 2.0}))


def test_bf16_trains_close_to_fp32():
    losses = {
        precision: trained(tiny_run(training={"precision": precision}, evaluation=CHEAP)).reports[-1]["loss"]
        for precision in ("fp32", "bf16")
    }
    assert losses["bf16"] != losses["fp32"]
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.1)


def test_loop_imports_neither_ray_nor_mlflow_nor_optuna_nor_pyarrow():
    code = f"import sys, {loop.__name__}; print(sorted({{'ray', 'mlflow', 'optuna', 'pyarrow'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
