"""CIFAR-10, CIFAR-100 and STL-10, read from miniature archives; torchvision's own reading is the oracle."""

import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from torchvision.datasets import CIFAR10, CIFAR100, STL10

from orchestrator.core.errors import UserError
from orchestrator.core.registry import find
from tests.orchestrator.datasets import miniatures

ARCHIVES = {"cifar10": CIFAR10, "cifar100": CIFAR100, "stl10": STL10}
UNREACHABLE = "http://127.0.0.1:1/archive.tar.gz"  # no server listens on this port


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


class Server(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """Who only asks for an address hangs up on the content."""


@pytest.fixture
def site(tmp_path):
    """A folder, and the address at which this machine serves it to itself."""
    folder = tmp_path / "site"
    folder.mkdir()
    with Server(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01))
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(params=ARCHIVES)
def published(request, site, tmp_path, monkeypatch):
    """A data set's module, its archive (as on the site), and a config with an empty root."""
    folder, address = site
    packed = miniatures.shrink(ARCHIVES[request.param], folder, monkeypatch)
    monkeypatch.setattr(ARCHIVES[request.param], "url", f"{address}/{packed.name}")
    module = find("orchestrator.datasets", request.param)
    return module, packed, module.Config(root=str(tmp_path / "root"))


def rows_of(images, among):
    """The place of each image among others."""
    places = {image.tobytes(): place for place, image in enumerate(among)}
    return [places[image.tobytes()] for image in images]


def oracle(name, root, train):
    if name == "stl10":
        read = STL10(root, split="train" if train else "test")
        return read.data.transpose(0, 2, 3, 1), read.labels
    read = ARCHIVES[name](root, train=train)
    return read.data, np.array(read.targets)


def test_splits_are_torchvisions_images_with_a_tenth_held_out(published):
    module, _, config = published
    module.verify(config)
    images, labels = oracle(config.name, config.root, train=True)
    bank, validation = module.load(config, "bank"), module.load(config, "validation")
    rows = [rows_of(split.images, images) for split in (bank, validation)]
    assert sorted(rows[0] + rows[1]) == list(range(len(images)))
    assert len(validation) == len(images) // 10
    assert rows[1] != list(range(len(rows[1])))  # drawn, not the first
    for split, places in zip((bank, validation), rows, strict=True):
        np.testing.assert_array_equal(split.labels, labels[places])
    test = module.load(config, "test/original")
    images, labels = oracle(config.name, config.root, train=False)
    np.testing.assert_array_equal(test.images, images)
    np.testing.assert_array_equal(test.labels, labels)


def test_seed_moves_the_hold_out_and_the_fingerprint(published):
    module, _, config = published
    other = config.model_copy(update={"seed": 1})
    assert (module.load(config, "validation").images != module.load(other, "validation").images).any()
    assert module.card(config).fingerprint != module.card(other).fingerprint
    elsewhere = config.model_copy(update={"root": "elsewhere", "download": False})
    assert module.card(config) == module.card(elsewhere)


def test_archive_put_there_by_hand_is_unpacked_without_a_download(published, monkeypatch):
    module, packed, config = published
    config = config.model_copy(update={"download": False})
    archive = ARCHIVES[config.name]
    with pytest.raises(UserError, match=rf"{archive.__name__} is not in .*root, and run.dataset.download is false"):
        module.verify(config)
    monkeypatch.setattr(archive, "url", UNREACHABLE)
    (packed.parent.parent / "root").mkdir()
    shutil.copy(packed, config.root)
    module.verify(config)
    packed.unlink()
    assert len(module.load(config, "bank"))


def test_failed_download_says_what_to_put_where(published, monkeypatch):
    module, _, config = published
    archive = ARCHIVES[config.name]
    monkeypatch.setattr(archive, "url", UNREACHABLE)
    with pytest.raises(UserError) as caught:
        module.verify(config)
    message = str(caught.value)
    assert "\n" not in message
    for part in (f"{archive.__name__} cannot be fetched", archive.filename, archive.tgz_md5, archive.url, config.root):
        assert part in message


def test_damaged_download_and_damaged_file_are_refused(published, monkeypatch):
    module, packed, config = published
    whole = packed.read_bytes()
    packed.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="cannot be fetched and unpacked"):
        module.verify(config)
    packed.write_bytes(whole)
    module.verify(config)
    archive = ARCHIVES[config.name]
    file = packed.parent.parent / "root" / archive.base_folder / archive.test_list[0][0]
    file.write_bytes(b"x" + file.read_bytes()[1:])
    module.verify(config)  # unpacked again
    file.write_bytes(b"x" + file.read_bytes()[1:])
    (packed.parent.parent / "root" / archive.filename).unlink()
    monkeypatch.setattr(archive, "url", UNREACHABLE)
    with pytest.raises(UserError, match="cannot be fetched"):
        module.load(config, "bank")


def test_unlabelled_images_of_stl10_follow_the_labelled_ones(tmp_path, monkeypatch):
    miniatures.shrink(STL10, tmp_path, monkeypatch)
    module = find("orchestrator.datasets", "stl10")
    with_them, without = (module.Config(root=str(tmp_path), unlabelled=wanted) for wanted in (True, False))
    train, bank = module.load(with_them, "train"), module.load(with_them, "bank")
    assert (train.labels, module.card(with_them).unlabelled) == (None, ("train",))
    np.testing.assert_array_equal(train.images[: len(bank)], bank.images)
    unlabelled = STL10(tmp_path, split="unlabeled").data.transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(train.images[len(bank) :], unlabelled)
    plain = module.load(without, "train")
    np.testing.assert_array_equal(plain.images, bank.images)
    np.testing.assert_array_equal(plain.labels, bank.labels)
    assert module.card(without).unlabelled == ()
    assert module.card(with_them).fingerprint != module.card(without).fingerprint
