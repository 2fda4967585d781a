"""Images are decoded once, by one process, and wholly or not at all."""

import errno
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from orchestrator.core.errors import UserError
from orchestrator.data import decode_cache
from orchestrator.datasets import image_folder
from tests.orchestrator.datasets.own_files import SIZE, look_again, picture, settings, write, write_folder


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / "images"


def test_second_start_decodes_nothing_and_a_change_everything(root, monkeypatch, capsys):
    write_folder(root)
    config = settings(root)
    card, images = image_folder.card(config), image_folder.load(config, "train")
    assert "decoding 18 images of" in capsys.readouterr().err
    look_again()
    with monkeypatch.context() as patch:
        patch.setattr(decode_cache, "square", None)
        assert image_folder.card(config) == card
        np.testing.assert_array_equal(image_folder.load(config, "train").images, images.images)
    write(root / "train/cat/0.png", picture(99))
    look_again()
    assert (image_folder.load(config, "train").images[0] != images.images[0]).any()
    assert image_folder.card(config).fingerprint != card.fingerprint
    assert len(list((root.parent / "cache/decoded").glob("*-*"))) == 1  # the old one is gone


def test_decoding_that_failed_or_was_killed_leaves_nothing_behind(root, monkeypatch):
    config, caches = settings(write_folder(root)), root.parent / "cache/decoded"
    with monkeypatch.context() as patch:
        full = OSError(errno.ENOSPC, "No space left on device")
        patch.setattr(decode_cache.os, "fsync", lambda file: (_ for _ in ()).throw(full))
        with pytest.raises(UserError, match="No space left on device"):
            image_folder.card(config)
    assert list(caches.glob("*-*")) == []
    with monkeypatch.context() as patch:
        patch.setattr(decode_cache.shutil, "rmtree", lambda *_, **__: None)  # `kill -9` tidies nothing up
        patch.setattr(decode_cache.np, "save", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            image_folder.card(config)
    assert len(list(caches.glob("*.tmp"))) == 1
    assert image_folder.card(config).train_size == 11
    assert [path.suffix for path in caches.glob("*-*")] == [""]


def test_two_who_want_the_same_images_decode_them_once(root, capsys):
    listing, cache = image_folder.Folder(True, None)(write_folder(root)), root.parent / "cache"
    with ThreadPoolExecutor(2) as both:  # stand for two processes: the lock is on the file, not on its holder
        made = list(both.map(lambda _: decode_cache.decoded(listing, cache=cache, size=SIZE), range(2)))
    assert made[0] == made[1]
    assert capsys.readouterr().err.count("decoding") == 1


def test_cache_that_cannot_be_written_is_refused(root, monkeypatch):
    write_folder(root)
    write(root.parent / "file", b"")
    with pytest.raises(
        UserError, match=r"cannot be decoded into .*file/decoded: .*name another folder in run.dataset.c"
    ):
        image_folder.card(settings(root, cache=str(root.parent / "file")))
    usage = decode_cache.shutil.disk_usage(root)
    monkeypatch.setattr(decode_cache.shutil, "disk_usage", lambda _: usage._replace(free=100))
    with pytest.raises(UserError, match=r"it takes 3\.5e-06 GB, and 1e-07 GB are free"):
        image_folder.card(settings(root))
