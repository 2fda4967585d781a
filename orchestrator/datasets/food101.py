"""Food-101: 101,000 photographs of 101 dishes (L. Bossard, M. Guillaumin and L. Van Gool, ECCV 2014)."""

from collections.abc import Mapping

from torchvision.datasets import Food101

from orchestrator.data import photographs
from orchestrator.data.locations import expanded


class Config(photographs.HeldOut):
    """Location of the photographs, and how they are decoded and split; see `photographs.HeldOut`.

    Args:
        name: `food101`.
        download: whether to download them (5 GB) if they are missing.
    """

    name: str = "food101"
    download: bool = False


def _parts(config: Config) -> Mapping[str, photographs.Part]:
    parts = {part: Food101(expanded(config.root), part, download=config.download) for part in ("train", "test")}
    return {part: list(zip(read._image_files, read._labels, strict=True)) for part, read in parts.items()}


PHOTOGRAPHS = photographs.Photographs(
    title="Food-101",
    parts=_parts,
    images={"train": 75_750, "test": 25_250},
    num_classes=101,
    held_out=0.1,
    licence="research use; the photographs are their owners' (foodspotting.com)",
    layout="food-101/meta/{train,test}.json and food-101/images/<class>/<number>.jpg",
    source="https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/",
)
card, load = PHOTOGRAPHS.card, PHOTOGRAPHS.load
