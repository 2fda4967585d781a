"""FGVC-Aircraft: 10,000 photographs of 100 variants of aircraft (S. Maji et al., arXiv 1306.5151)."""

from collections.abc import Mapping
from pathlib import Path

from torchvision.datasets import FGVCAircraft

from orchestrator.data import photographs
from orchestrator.data.locations import expanded

FILES = {"train": "train", "validation": "val", "test": "test"}


class Config(photographs.Settings):
    """Location of the photographs, and how they are decoded; see `photographs.Settings`. The splits are published.

    Args:
        name: `aircraft`.
        download: whether to download them (2.7 GB) if they are missing.
    """

    name: str = "aircraft"
    download: bool = False


def _parts(config: Config) -> Mapping[str, photographs.Part]:
    root = expanded(config.root)
    parts = {part: FGVCAircraft(root, file, download=config.download) for part, file in FILES.items()}
    return {part: list(zip(map(Path, read._image_files), read._labels, strict=True)) for part, read in parts.items()}


PHOTOGRAPHS = photographs.Photographs(
    title="FGVC-Aircraft",
    parts=_parts,
    images={"train": 3_334, "validation": 3_333, "test": 3_333},
    num_classes=100,
    licence="non-commercial research; the photographs are their owners' (airliners.net)",
    layout="fgvc-aircraft-2013b/data/{variants,images_variant_train,images_variant_val,images_variant_test}.txt and "
    "fgvc-aircraft-2013b/data/images/<number>.jpg",
    source="https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/",
    metric="mean_per_class",
)
card, load = PHOTOGRAPHS.card, PHOTOGRAPHS.load
