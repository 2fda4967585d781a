"""Published sets of photographs in miniature: real folders and annotation files, and a handful of tiny photographs."""

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from PIL import Image
from torchvision.datasets import Flowers102
from torchvision.datasets.utils import calculate_md5

from augment.draws import derive_seed

SIZE = 16  # pixels


def write(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Write the miniature of a data set into a folder, and let the data set believe that no more was published.

    Returns:
        Settings with which it is read.
    """
    module = import_module(f"orchestrator.datasets.{name}")
    monkeypatch.setattr(module.PHOTOGRAPHS, "images", WRITERS[name](folder / "published", monkeypatch))
    return {"root": str(folder / "published"), "cache": str(folder / "cache"), "size": SIZE}


def photograph(file: Path) -> Path:
    """A tiny one of its own, wider than high."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(derive_seed(0, *file.parts[-2:])).integers(0, 256, (18, 24, 3), np.uint8)
    Image.fromarray(pixels).save(file, quality=90)
    return file


def text(file: Path, *lines: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n")


def food101(root: Path, _) -> dict[str, int]:
    for part, numbers in {"train": range(10), "test": range(10, 13)}.items():
        listed = {dish: [f"{dish}/{number}" for number in numbers] for dish in ("apple_pie", "beet_salad")}
        text(root / f"food-101/meta/{part}.json", json.dumps(listed))
        for of_dish in listed.values():
            for name in of_dish:
                photograph(root / f"food-101/images/{name}.jpg")
    return {"train": 20, "test": 6}


def pets(root: Path, _) -> dict[str, int]:
    base = root / "oxford-iiit-pet"
    for file, numbers in {"trainval": range(10), "test": range(10, 13)}.items():
        breeds = (("Abyssinian", 1, 1), ("american_bulldog", 2, 2))
        rows = [(f"{breed}_{number}", of, kind) for breed, of, kind in breeds for number in numbers]
        text(base / f"annotations/{file}.txt", *(f"{name} {of} {kind} 1" for name, of, kind in rows))
        for name, _, _ in rows:
            photograph(base / f"images/{name}.jpg")
    return {"train": 20, "test": 6}


def flowers(root: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    base = root / "flowers-102"
    for number in range(1, 13):
        photograph(base / f"jpg/image_{number:05d}.jpg")
    annotations = {
        "imagelabels.mat": {"labels": np.array([[1, 2] * 6], np.uint8)},
        "setid.mat": {"trnid": [[1, 2, 3, 4]], "valid": [[5, 6]], "tstid": [[7, 8, 9, 10, 11, 12]]},
    }
    for file, content in annotations.items():
        scipy.io.savemat(base / file, content)
    published = {"image": Flowers102._file_dict["image"]}
    for key, file in (("label", "imagelabels.mat"), ("setid", "setid.mat")):
        published[key] = (file, calculate_md5(base / file))
    monkeypatch.setattr(Flowers102, "_file_dict", published)
    return {"train": 4, "validation": 2, "test": 6}


def dtd(root: Path, _) -> dict[str, int]:
    base = root / "dtd/dtd"
    for place, file in enumerate(("train", "val", "test")):
        names = [f"{kind}/{kind}_{place}{number}.jpg" for kind in ("banded", "woven") for number in range(2)]
        text(base / f"labels/{file}1.txt", *names)
        for name in names:
            photograph(base / "images" / name)
    return {"train": 4, "validation": 4, "test": 4}


def aircraft(root: Path, _) -> dict[str, int]:
    base = root / "fgvc-aircraft-2013b/data"
    text(base / "variants.txt", "707-320", "A300B4 F")  # a name may have a blank in it
    for place, file in enumerate(("train", "val", "test")):
        rows = [(f"00{place}{number}", variant) for number, variant in enumerate(("707-320", "A300B4 F"))]
        text(base / f"images_variant_{file}.txt", *(f"{name} {variant}" for name, variant in rows))
        for name, _ in rows:
            photograph(base / f"images/{name}.jpg")
    return {"train": 2, "validation": 2, "test": 2}


def cars(root: Path, _) -> dict[str, int]:
    base = root / "stanford_cars"
    (base / "devkit").mkdir(parents=True)
    fields = [(name, object) for name in ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname")]
    parts = {"cars_train": ("devkit/cars_train_annos", 10), "cars_test": ("cars_test_annos_withlabels", 4)}
    for folder, (file, count) in parts.items():
        rows = [(1, 1, 20, 16, 1 + number % 2, f"{number + 1:05d}.jpg") for number in range(count)]
        scipy.io.savemat(base / f"{file}.mat", {"annotations": np.array([rows], fields)})
        for row in rows:
            photograph(base / folder / row[-1])
    names = np.array([["AM General Hummer", "Acura RL"]], object)
    scipy.io.savemat(base / "devkit/cars_meta.mat", {"class_names": names})
    return {"train": 10, "test": 4}


def mit67(root: Path, _) -> dict[str, int]:
    base = root / "mit67"
    for file, numbers in {"TrainImages": range(8), "TestImages": range(8, 10)}.items():
        names = [f"{room}/{room} {number}.jpg" for room in ("bakery", "airport_inside") for number in numbers]
        text(base / f"{file}.txt", *names)  # names of files have blanks in them
        for name in names:
            photograph(base / "Images" / name)
    return {"train": 16, "test": 4}


def sun397(root: Path, _) -> dict[str, int]:
    base = root / "SUN397"
    places = ("/a/abbey", "/a/apartment_building/outdoor")
    text(base / "ClassName.txt", *places)
    for file, numbers in {"Training_01": range(10), "Testing_01": range(10, 13)}.items():
        names = [f"{place}/sun_{number:08d}.jpg" for place in places for number in numbers]
        text(base / f"Partitions/{file}.txt", *names)
        for name in names:
            photograph(base / name[1:])
    return {"train": 20, "test": 6}


def cub200(root: Path, _) -> dict[str, int]:
    base = root / "CUB_200_2011"
    birds = ("001.Black_footed_Albatross", "002.Laysan_Albatross")
    names = [f"{bird}/{bird[4:]}_{number:04d}.jpg" for bird in birds for number in range(16)]
    text(base / "images.txt", *(f"{place} {name}" for place, name in enumerate(names, 1)))
    text(base / "image_class_labels.txt", *(f"{place} {int(name[:3])}" for place, name in enumerate(names, 1)))
    text(base / "train_test_split.txt", *(f"{place} {int(place % 4 > 0)}" for place in range(1, len(names) + 1)))
    for name in names:
        photograph(base / "images" / name)
    return {"train": 24, "test": 8}


def caltech101(root: Path, _) -> dict[str, int]:
    base = root / "caltech101/101_ObjectCategories"
    for thing, count in (("accordion", 32), ("airplanes", 35), ("BACKGROUND_Google", 3)):
        for number in range(1, count + 1):
            photograph(base / thing / f"image_{number:04d}.jpg")
    return {"train": 60, "test": 7}


WRITERS: dict[str, Callable[[Path, pytest.MonkeyPatch], dict[str, int]]] = {
    writer.__name__: writer
    for writer in (food101, mit67, pets, flowers, caltech101, cars, aircraft, dtd, sun397, cub200)
}
