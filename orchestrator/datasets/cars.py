"""Stanford Cars: 16,185 photographs of 196 models of cars (J. Krause et al., 3dRR 2013)."""

from collections.abc import Mapping
from pathlib import Path

from torchvision.datasets import StanfordCars

from orchestrator.data import photographs
from orchestrator.data.locations import expanded


class Config(photographs.HeldOut):
    """Location of the photographs, and how they are decoded and split; see `photographs.HeldOut`.

    The authors' address no longer exists, so there is no download.
    """

    name: str = "cars"


def _parts(config: Config) -> Mapping[str, photographs.Part]:
    parts = {part: StanfordCars(expanded(config.root), part) for part in ("train", "test")}
    return {part: [(Path(file), int(label)) for file, label in read._samples] for part, read in parts.items()}


PHOTOGRAPHS = photographs.Photographs(
    title="Stanford Cars",
    parts=_parts,
    images={"train": 8_144, "test": 8_041},
    num_classes=196,
    held_out=1_650 / 8_144,
    licence="non-commercial research; the photographs are their owners'",
    layout="stanford_cars/devkit/{cars_meta,cars_train_annos}.mat, stanford_cars/cars_test_annos_withlabels.mat, "
    "stanford_cars/cars_train/<number>.jpg and stanford_cars/cars_test/<number>.jpg",
    source="a mirror (the authors' address, https://ai.stanford.edu/~jkrause/cars/car_dataset.html, no longer exists)",
)
card, load = PHOTOGRAPHS.card, PHOTOGRAPHS.load
