"""Caltech-101: 8,677 photographs of 101 things (L. Fei-Fei, R. Fergus and P. Perona, CVPR workshop 2004).

No split was published; the convention is to train on 30 photographs of each class and to test on all others. These 30
are drawn with a fixed seed, so the test images do not depend on the seed of the hold-out.
"""

from collections.abc import Mapping

import numpy as np
from torchvision.datasets import Caltech101

from augment import draws
from orchestrator.data import photographs
from orchestrator.data.images import drawn_places
from orchestrator.data.locations import expanded

TRAIN_PER_CLASS = 30
SPLIT_SEED = 0
CLUTTER = "BACKGROUND_Google"  # not a class


class Config(photographs.HeldOut):
    """Location of the photographs, and how they are decoded and split; see `photographs.HeldOut`.

    Args:
        name: `caltech101`.
        download: whether to download them (0.1 GB) if they are missing.
    """

    name: str = "caltech101"
    download: bool = False


def _parts(config: Config) -> Mapping[str, photographs.Part]:
    if config.download:
        Caltech101(expanded(config.root), download=True)
    folders = sorted((expanded(config.root) / "caltech101" / "101_ObjectCategories").iterdir())
    classes = [folder for folder in folders if folder.name != CLUTTER and folder.is_dir()]
    images = [(file, label) for label, folder in enumerate(classes) for file in sorted(folder.glob("image_*.jpg"))]
    _, places = drawn_places(
        np.array([label for _, label in images], np.int64), draws.derive_seed(SPLIT_SEED, "held out")
    )
    return {
        "train": [images[row] for row in np.flatnonzero(places < TRAIN_PER_CLASS)],
        "test": [images[row] for row in np.flatnonzero(places >= TRAIN_PER_CLASS)],
    }


PHOTOGRAPHS = photographs.Photographs(
    title="Caltech-101",
    parts=_parts,
    images={"train": 3_030, "test": 5_647},
    num_classes=101,
    held_out=1 / 6,
    licence="CC BY 4.0; the photographs are their owners'",
    layout="caltech101/101_ObjectCategories/<thing>/image_<number>.jpg",
    source="https://data.caltech.edu/records/mzrjq-6wc02",
    metric="mean_per_class",
)
card, load = PHOTOGRAPHS.card, PHOTOGRAPHS.load
