"""Caltech-UCSD Birds-200-2011: 11,788 photographs of 200 birds (C. Wah et al., CNS-TR-2011-001).

A thousand of the 5,994 training images are held out, which leaves 4,994; the code of AugSelf reportedly keeps 4,990.
"""

from collections.abc import Mapping
from pathlib import Path

from orchestrator.data import photographs
from orchestrator.data.locations import expanded


class Config(photographs.HeldOut):
    """Location of the photographs, and how they are decoded and split; see `photographs.HeldOut`."""

    name: str = "cub200"


def _parts(config: Config) -> Mapping[str, photographs.Part]:
    folder = expanded(config.root) / "CUB_200_2011"
    files, labels, training = (
        _column(folder / f"{name}.txt") for name in ("images", "image_class_labels", "train_test_split")
    )
    parts: dict[str, list[tuple[Path, int]]] = {"train": [], "test": []}
    for image, name in files.items():
        part = parts["train" if training[image] == "1" else "test"]
        part.append((folder / "images" / name, int(labels[image]) - 1))
    return parts


def _column(file: Path) -> dict[str, str]:
    """The values of an annotation file, by the number of the image."""
    return {image: said for image, said in (line.split() for line in file.read_text(encoding="utf-8").splitlines())}


PHOTOGRAPHS = photographs.Photographs(
    title="CUB-200-2011",
    parts=_parts,
    images={"train": 5_994, "test": 5_794},
    num_classes=200,
    held_out=1_000 / 5_994,
    licence="non-commercial research and education; the photographs are their owners' (flickr.com)",
    layout="CUB_200_2011/{images,image_class_labels,train_test_split}.txt and "
    "CUB_200_2011/images/<number>.<bird>/<name>.jpg",
    source="https://data.caltech.edu/records/65de6-vp158 (CUB_200_2011.tgz)",
)
card, load = PHOTOGRAPHS.card, PHOTOGRAPHS.load
