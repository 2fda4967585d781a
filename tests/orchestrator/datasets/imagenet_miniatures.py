"""ImageNet and the sets that test its classifiers in miniature: real folders and files, a handful of tiny images."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from orchestrator.data.imagenet_classes import numbers
from orchestrator.datasets.imagenet9 import VARIANTS
from tests.orchestrator.datasets.photograph_miniatures import photograph

SIZE = 16  # pixels
CLASSES = (0, 7, 207, 407, 999)
FOLDERS = (
    "00_dog",
    "01_bird",
    "02_wheeled vehicle",
    "03_reptile",
    "04_carnivore",
    "05_insect",
    "06_musical instrument",
    "07_primate",
    "08_fish",
)


def wnid(number: int) -> str:
    return list(numbers())[number]


def write(name: str, folder: Path) -> dict[str, object]:
    """Write the miniature of a data set into a folder.

    Returns:
        Settings with which it is read; those after `size` may be left out.
    """
    root = folder / name
    settings = {"root": str(root), "cache": str(folder / "cache"), "size": SIZE}
    return settings | WRITERS[name](root)


def train_and_val(root: Path) -> None:
    """ImageNet itself."""
    for number in CLASSES:
        for count in range(4):
            photograph(root / "train" / wnid(number) / f"{wnid(number)}_{count}.JPEG")
    for count in range(2 * len(CLASSES)):
        name = f"ILSVRC2012_val_{count + 1:08d}.JPEG"
        photograph(root / "val" / wnid(CLASSES[count % len(CLASSES)]) / name)


def imagenet(root: Path) -> dict[str, object]:
    train_and_val(root)
    return {}


def beside(root: Path) -> dict[str, object]:
    """The settings of a test set with ImageNet itself beside it."""
    train_and_val(root.parent / "imagenet")
    return {f"imagenet_{part}": str(root.parent / "imagenet" / part) for part in ("train", "val")}


def by_wnid(root: Path) -> dict[str, object]:
    for number in CLASSES[1:4]:
        for count in range(2):
            photograph(root / wnid(number) / f"art_{count}.jpg")
    (root / "README.txt").write_text("the archive holds one too\n")
    return beside(root)


def imagenet_v2(root: Path) -> dict[str, object]:
    for number in (2, 10, 999):
        for count in range(2):
            photograph(root / str(number) / f"{count}f.jpeg")
    return beside(root)


def imagenet_real(root: Path) -> dict[str, object]:
    root.mkdir(parents=True)
    labels = [[CLASSES[0], 5], [CLASSES[1]], [], [CLASSES[0]], [CLASSES[4]], *([[1]] * 5)]
    (root / "real.json").write_text(json.dumps(labels))
    return beside(root)


def objectnet(root: Path) -> dict[str, object]:
    """Two shared classes, the second of which stands for two of ImageNet's, and one that is not shared."""
    for folder in ("alarm_clock", "bicycle", "air_freshener"):
        for count in range(2):
            bordered(root / "images" / folder / f"{folder}{count}.png")
    mappings = root / "mappings"
    mappings.mkdir()
    labels = {"alarm_clock": "Alarm clock", "bicycle": "Bicycle", "air_freshener": "Air freshener"}
    shared = {"Alarm clock": "class of line 3", "Bicycle": "class of line 5; class of line 8"}
    order = {str(number): (number + 3) % 1000 for number in range(1000)}  # line 3 is class 0
    (mappings / "folder_to_objectnet_label.json").write_text(json.dumps(labels))
    (mappings / "objectnet_to_imagenet_1k.json").write_text(json.dumps(shared))
    (mappings / "pytorch_to_imagenet_2012_id.json").write_text(json.dumps(order))
    lines = "".join(f"class of line {line}\n" for line in range(1000))
    (mappings / "imagenet_to_label_2012_v2").write_text(lines)
    return beside(root)


def bordered(file: Path) -> None:
    """A photograph in a red frame of two pixels."""
    inner = np.asarray(Image.open(photograph(file.with_suffix(".jpg"))))
    file.with_suffix(".jpg").unlink()
    framed = np.full((inner.shape[0] + 4, inner.shape[1] + 4, 3), (255, 0, 0), np.uint8)
    framed[2:-2, 2:-2] = inner
    Image.fromarray(framed).save(file)


def imagenet9(root: Path) -> dict[str, object]:
    for variant in VARIANTS:
        for folder in FOLDERS:
            for count in range(2 if variant == "original" else 1):
                photograph(root / variant / "val" / folder / f"{variant}_{count}.JPEG")
    for folder in FOLDERS:
        for count in range(2):
            mask = np.zeros((18, 24), bool)
            mask[4:14, 6 : 12 + count] = True
            file = root / "fg_mask" / "val" / folder / f"original_{count}.npy"
            file.parent.mkdir(parents=True, exist_ok=True)
            np.save(file, mask)
    for folder in FOLDERS:
        for count in range(3):
            photograph(root.parent / "in9l" / "train" / folder / f"train_{count}.JPEG")
    return {"train_root": str(root.parent / "in9l")}


WRITERS = {
    "imagenet": imagenet,
    "imagenet9": imagenet9,
    "imagenet_a": by_wnid,
    "imagenet_r": by_wnid,
    "imagenet_real": imagenet_real,
    "imagenet_sketch": by_wnid,
    "imagenet_v2": imagenet_v2,
    "objectnet": objectnet,
}
