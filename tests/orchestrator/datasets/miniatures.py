"""Published archives in miniature: real file layouts, a handful of images, and sums that fit."""

import hashlib
import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
from torchvision.datasets import CIFAR10, CIFAR100, STL10

from orchestrator.data import cifar
from orchestrator.datasets import stl10

CIFAR_TRAIN, CIFAR_TEST = 50, 10
STL_LABELLED, STL_UNLABELLED, STL_TEST = 20, 30, 10


def shrink(archive, folder: Path, monkeypatch) -> Path:
    """Packs a small archive into a folder, and lets torchvision's class believe that it is the published one."""
    files = stl_files() if archive is STL10 else cifar_files(archive)
    packed = folder / archive.filename
    with tarfile.open(packed, "w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"{archive.base_folder}/{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    md5 = {name: hashlib.md5(content).hexdigest() for name, content in files.items()}
    monkeypatch.setattr(archive, "train_list", [[name, md5[name]] for name, _ in archive.train_list])
    monkeypatch.setattr(archive, "test_list", [[name, md5[name]] for name, _ in archive.test_list])
    if archive is not STL10:
        monkeypatch.setattr(archive, "meta", {**archive.meta, "md5": md5[archive.meta["filename"]]})
    monkeypatch.setattr(archive, "tgz_md5", hashlib.md5(packed.read_bytes()).hexdigest())
    monkeypatch.setattr(cifar, "TRAIN_IMAGES", CIFAR_TRAIN)
    monkeypatch.setattr(stl10, "LABELLED_IMAGES", STL_LABELLED)
    monkeypatch.setattr(stl10, "UNLABELLED_IMAGES", STL_UNLABELLED)
    return packed


def cifar_files(archive: type[CIFAR10]) -> dict[str, bytes]:
    draw = np.random.default_rng(0)
    key = "fine_labels" if archive is CIFAR100 else "labels"
    classes = 100 if archive is CIFAR100 else 10
    files = {archive.meta["filename"]: pickle.dumps({archive.meta["key"]: [str(c) for c in range(classes)]})}
    for parts, count in ((archive.train_list, CIFAR_TRAIN), (archive.test_list, CIFAR_TEST)):
        for name, _ in parts:
            rows = count // len(parts)
            data = draw.integers(0, 256, (rows, 3 * 32 * 32), np.uint8)
            files[name] = pickle.dumps({"data": data, key: draw.integers(0, classes, rows).tolist()}, protocol=2)
    return files


def stl_files() -> dict[str, bytes]:
    draw = np.random.default_rng(0)
    files = {}
    for part, count in (("train", STL_LABELLED), ("unlabeled", STL_UNLABELLED), ("test", STL_TEST)):
        files[f"{part}_X.bin"] = draw.integers(0, 256, (count, 3, 96, 96), np.uint8).tobytes()
        files[f"{part}_y.bin"] = draw.integers(1, 11, count, np.uint8).tobytes()
    return files
