"""Reading and decoding ahead of the training: bounded memory, threads that end, images that cannot be read."""

import gc
import shutil
import threading
import time
import weakref
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from orchestrator.core.errors import UserError
from orchestrator.data import prefetch
from orchestrator.data.row_groups import RowGroups
from orchestrator.data.streamed import Stream, StreamedImages
from orchestrator.datasets import parquet
from tests.orchestrator.data.streams import CPU, NOTHING, PLAIN, streamed, write_shards
from tests.orchestrator.datasets.own_files import encoded, picture, write_shard


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_shards(tmp_path_factory.mktemp("streamed") / "shards")


def test_no_more_than_two_windows_are_in_memory(root, monkeypatch):
    alive: list[weakref.ref] = []
    most, read = [], RowGroups.read

    def counted(self, number, **how):
        group = read(self, number, **how)
        alive.append(weakref.ref(group))
        most.append(sum(len(one.images) for ref in alive if (one := ref())))
        return group

    images = streamed(root, buffer=12)  # before, since its sample is read and decoded once as well
    monkeypatch.setattr(RowGroups, "read", counted)
    batches = images.order(1).split(4)
    images.read_ahead(batches)
    for rows in batches:
        images.batch(rows)
    assert 12 < max(most) <= 2 * (12 + 4)
    assert len(most) == 21  # each row group is read once
    gc.collect()
    assert not any(ref() for ref in alive)


def test_threads_end_with_the_training(root):
    before = set(threading.enumerate())  # which may hold threads of another test that are about to end
    images = streamed(root)
    batches = images.order(1).split(8)
    images.read_ahead(batches)
    images.batch(batches[0])
    begun = set(threading.enumerate()) - before
    assert begun
    del images
    deadline = time.monotonic() + 20
    while any(thread.is_alive() for thread in begun) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(thread.is_alive() for thread in begun)


@pytest.fixture
def damaged(tmp_path) -> Stream:
    """Twelve images in row groups of 4, of which rows 5 and 6 cannot be read, nor any of the last group."""
    contents = [encoded(picture(seed)) for seed in range(12)]
    contents[5], contents[6], contents[8:] = contents[5][:40], b"", [b"text"] * 4
    write_shard(tmp_path / "train" / "a.parquet", 12, image=contents, label=[*range(12)])
    write_shard(tmp_path / "validation" / "a.parquet", 2, seed=50, label=[0, 1])
    config = parquet.Config(
        root=str(tmp_path), cache=str(tmp_path / "cache"), size=16, max_bad_share=0.6, stream={"buffer": 4}
    )
    remark, _ = parquet.card(config).remarks
    assert remark.startswith("of the sample in memory, 6 unreadable images are left out: a.parquet row 5 (")
    source = parquet.stream(config)
    assert source is not None
    assert source.sample.tolist() == [0, 1, 2, 3, 4, 7]  # those of it that can be read
    return source


def test_unreadable_image_is_replaced_by_the_next_one_with_its_label(damaged, caplog):
    for rows in ([5, 6, 7, 4], [0, 6, 5]):
        images, whole = StreamedImages(damaged, NOTHING, CPU, **PLAIN), torch.arange(12)
        made = images.batch(torch.tensor(rows)).images
        readable = [7 if row in (5, 6) else row for row in rows]
        assert torch.equal(made, images.batch(torch.tensor(readable)).images)
        assert torch.equal(images.labels, torch.where((whole == 5) | (whole == 6), 7, whole))
        logged = caplog.text
        caplog.clear()
        assert logged.count("a.parquet row 5 (") == logged.count("a.parquet row 6 (nothing there to be read)") == 1


def test_too_many_unreadable_images_are_an_error(damaged):
    few = replace(damaged, max_bad_share=0.1)
    with pytest.raises(UserError, match=r"row 6 \(.*; 2 of 12 replaced must be at most .*max_bad_share = 0\.1"):
        StreamedImages(few, NOTHING, CPU, **PLAIN).batch(torch.tensor([5]))
    with pytest.raises(
        UserError, match=r"none of the 4 images of a row group can be read: a\.parquet row 9 \(no image"
    ):
        StreamedImages(damaged, NOTHING, CPU, **PLAIN).batch(torch.tensor([9]))


def test_errors_of_threads_reach_the_loop_with_file_and_row(root, monkeypatch, tmp_path):
    copy = Path(shutil.copytree(root, tmp_path / "shards"))
    images = streamed(copy)
    monkeypatch.setattr(prefetch, "square", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError) as caught:
        images.batch(torch.tensor([0]))
    assert caught.value.__notes__ == ["while 0.parquet row 0 was decoded"]
    (copy / "2.parquet").unlink()
    with pytest.raises(UserError, match=r"2\.parquet: row group \d cannot be read .* where every worker can read them"):
        images.batch(torch.tensor([69]))
