"""Describable Textures: 5,640 photographs of 47 textures (M. Cimpoi et al., CVPR 2014)."""

from collections.abc import Mapping

from torchvision.datasets import DTD

from orchestrator.data import photographs
from orchestrator.data.locations import expanded

FILES = {"train": "train", "validation": "val", "test": "test"}
PARTITION = 1  # of ten; the one used in transfer results


class Config(photographs.Settings):
    """Location of the photographs, and how they are decoded; see `photographs.Settings`. The splits are published.

    Args:
        name: `dtd`.
        download: whether to download them (0.6 GB) if they are missing.
    """

    name: str = "dtd"
    download: bool = False


def _parts(config: Config) -> Mapping[str, photographs.Part]:
    root = expanded(config.root)
    parts = {part: DTD(root, file, PARTITION, download=config.download) for part, file in FILES.items()}
    return {part: list(zip(read._image_files, read._labels, strict=True)) for part, read in parts.items()}


PHOTOGRAPHS = photographs.Photographs(
    title="DTD",
    parts=_parts,
    images={"train": 1_880, "validation": 1_880, "test": 1_880},
    num_classes=47,
    licence="research use; the photographs are their owners'",
    layout=f"dtd/dtd/labels/{{train,val,test}}{PARTITION}.txt and dtd/dtd/images/<texture>/<texture>_<number>.jpg",
    source="https://www.robots.ox.ac.uk/~vgg/data/dtd/",
)
card, load = PHOTOGRAPHS.card, PHOTOGRAPHS.load
