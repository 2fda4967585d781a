"""Training on images that are not in memory: their order, and the same numbers as in memory."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import Int64
from torch import Tensor

from augment import draws, separation
from augment.borrowing import OWN, UNKNOWN
from orchestrator.config.run import RunConfig, resolve
from orchestrator.core.errors import UserError
from orchestrator.data.foregrounds import separate
from orchestrator.data.images import ImageSet
from orchestrator.data.on_device import DeviceImages
from orchestrator.data.row_groups import RowGroups
from orchestrator.data.streamed import StreamedImages, windowed_order
from orchestrator.datasets import parquet
from orchestrator.training import assembly, loop, step
from tests.orchestrator.data.streams import CPU, PLAIN, settings, streamed, write_shards
from tests.orchestrator.datasets.own_files import disc, encoded, write_shard
from tests.orchestrator.tiny_run import Surroundings, timeless, tiny_run

SIMCLR = {"name": "simclr", "projector_hidden": 16, "projector_outputs": 8}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_shards(tmp_path_factory.mktemp("streamed") / "shards")


def resident(root: Path) -> DeviceImages:
    return DeviceImages(parquet.load(settings(root), "train"), CPU, **PLAIN)


@pytest.mark.parametrize("buffer", [1, 7, 40])
def test_order_shuffles_row_groups_and_then_rows_in_windows(buffer):
    sizes = [5, 0, 9, 1, 30, 6, 6, 3]
    bounds = np.cumsum([0, *sizes])
    order, other, later = (
        windowed_order(bounds, buffer, seed=a, epoch=b).tolist() for a, b in ((1, 1), (2, 1), (1, 2))
    )
    assert sorted(order) == list(range(60))
    assert order not in (other, later)
    windows: dict[int, list[int]] = {}
    before = 0
    for group in draws.permutation(draws.derive_seed(1, "row groups"), 1, len(sizes)).tolist():
        windows.setdefault(before // buffer, []).extend(range(bounds[group], bounds[group + 1]))
        before += sizes[group]
    for rows in windows.values():
        window, order = order[: len(rows)], order[len(rows) :]
        assert sorted(window) == sorted(rows)
        assert window != rows or len(rows) < 4


def test_order_in_one_window_is_that_of_images_in_memory():
    order = windowed_order(np.array([0, 20, 50, 60]), 60, seed=4, epoch=2)
    assert torch.equal(order, draws.permutation(4, 2, 60))


def test_window_mixes_its_row_groups():
    order = windowed_order(np.arange(0, 1001, 10), 200, seed=0, epoch=1)
    for window in order.split(200):
        assert len(set((window // 10).tolist())) == 20
        assert abs((window[:-1] // 10 == window[1:] // 10).float().mean() - 9 / 199) < 0.05


@pytest.mark.parametrize("ranks", [1, 2])
def test_batches_are_bitwise_those_in_memory(root, ranks):
    expected = resident(root)
    workers = [streamed(root) for _ in range(ranks)]
    for epoch in (1, 2):
        batches = workers[0].order(epoch)[:64].split(16)
        for rank, worker in enumerate(workers):
            worker.read_ahead([rows.chunk(ranks)[rank] for rows in batches])
        for rows in batches:
            parts = [worker.batch(rows.chunk(ranks)[rank]) for rank, worker in enumerate(workers)]
            assert torch.equal(torch.cat([part.images for part in parts]), expected.batch(rows).images)
            assert torch.equal(workers[0].labels[rows], expected.labels[rows])


def test_rows_may_be_asked_for_unannounced(root):
    images, rows = streamed(root), torch.tensor([69, 0, 33])
    batches = images.order(1).split(16)
    images.read_ahead(batches)
    assert torch.equal(images.batch(rows).images, resident(root).batch(rows).images)
    assert torch.equal(images.batch(batches[0]).images, resident(root).batch(batches[0]).images)


def masked(root: Path) -> Path:
    """As many images with a part of their own for validation; every third has no mask."""
    # Without that part, mean and deviation in memory would be those of the held out images too.
    for part, count in (("train", 20), ("validation", 8)):
        for number in (0, 1):
            masks = [encoded(disc()) if row % 3 else None for row in range(count)]
            file = root / part / f"{number}.parquet"
            write_shard(file, count, seed=(100 + number) * count, mask=masks, label=[*range(count)])
    return root


def test_masks_and_backgrounds_are_bitwise_those_in_memory(tmp_path):
    how = {"needs": ("masks", "bank", "backgrounds"), "how": separation.Config(noise="shift"), "seed": 3}

    def given(source: ImageSet, rows: Int64[Tensor, "N"]) -> dict[str, Any]:
        return {"needs": how["needs"], "foregrounds": separate(source, **how, rows=rows), "seed": 3}

    root, rows = masked(tmp_path / "shards"), torch.tensor([7, 0, 33, 20])
    images = parquet.load(settings(root), "train")
    whole = DeviceImages(images, CPU, **given(images, torch.arange(len(images)))).batch(rows)
    for size in (40, 12):
        config = settings(root, buffer=8, sample=size)
        source = parquet.stream(config)
        assert source is not None
        sample = parquet.load(config, "train")
        batch = StreamedImages(source, sample, CPU, **given(sample, torch.tensor(source.sample))).batch(rows)
        for name in ("images", "masks", "backgrounds", "lenders"):
            assert torch.equal(getattr(batch, name), getattr(whole, name)), name
        assert batch.lenders is not None
        assert batch.lenders.tolist() == [OWN, UNKNOWN, OWN, UNKNOWN]
        lending = source.sample[batch.bank.donors]
        assert all(row % 20 % 3 for row in lending)
        assert batch.bank.places[lending].tolist() == list(range(len(lending)))
        for name in ("images", "masks", "backgrounds"):
            assert torch.equal(getattr(batch.bank, name)[batch.bank.donors], getattr(whole.bank, name)[lending])
    assert len(lending) < 12


def test_masks_that_cannot_be_had_are_refused(root):
    source, sample = (read(settings(root, sample=2)) for read in (parquet.stream, lambda it: parquet.load(it, "train")))
    how, rows = separation.Config(noise="shuffle"), torch.tensor(source.sample)
    with pytest.raises(UserError, match=r"run\.dataset must have masks"):
        separate(sample, needs=("masks",), how=how, seed=3, rows=rows)
    masked = ImageSet(sample.images, masks=np.zeros((2, 16, 16), np.uint8))
    shuffled = separate(masked, needs=("masks",), how=how, seed=3, rows=rows)
    with pytest.raises(UserError, match="shuffle needs all masks in memory"):
        StreamedImages(source, sample, CPU, needs=("masks",), foregrounds=shuffled, seed=3)


def run_of(root: Path, stream: dict, **sections: object) -> RunConfig:
    evaluation = {"knn": {}, "collapse": {}}
    run = tiny_run(method=SIMCLR, training={"checkpoint_steps": 1}, evaluation=evaluation, **sections)
    return resolve({**run.dump(), "dataset": settings(root, **stream).model_dump()})


def trained(run: RunConfig, **how: bytes) -> Surroundings:
    surroundings = Surroundings(**how)
    assembly.train(run, assembly.load_data(run), surroundings)
    return surroundings


def test_training_with_all_in_one_window_is_bitwise_that_in_memory(tmp_path):
    root, swap = masked(tmp_path / "shards"), {"kind": "swap", "p_query": 0.5, "p_key": 0.5, "p_negative": 0.5}
    inside, outside = (
        trained(run_of(root, stream, addons={"background": swap})) for stream in ({}, {"buffer": 40, "sample": 40})
    )
    assert timeless(inside.reports) == timeless(outside.reports)
    assert inside.exported is not None
    assert outside.exported is not None
    for name, value in inside.exported[0].items():
        assert torch.equal(value, outside.exported[0][name])


def test_streamed_training_resumes_at_any_step_bitwise(root):
    run = run_of(root, {"buffer": 16, "sample": 20}, addons={})
    whole = trained(run)
    assert sorted(whole.states) == list(range(1, 9))
    for saved in (2, 4, 7):
        resumed = trained(run, saved=whole.states[saved])
        assert timeless(resumed.reports) == timeless(whole.reports)
        assert resumed.exported is not None
        assert whole.exported is not None
        assert all(torch.equal(value, resumed.exported[0][name]) for name, value in whole.exported[0].items())


def test_rank_reads_ahead_what_it_trains_on(root, monkeypatch):
    read, numbers = RowGroups.read, []
    for module in (loop, step):
        monkeypatch.setattr(module, "part", lambda rows: rows.chunk(2)[1])
    monkeypatch.setattr(
        RowGroups, "read", lambda self, number, **how: numbers.append(number) or read(self, number, **how)
    )
    run = run_of(root, {"buffer": 70, "sample": 20}, addons={})
    training = assembly.training(run, assembly.load_data(run), CPU)
    numbers.clear()
    training.run_epoch(Surroundings())
    assert len(numbers) == len(set(numbers)) > 10  # a batch that was not announced would have read its own again
