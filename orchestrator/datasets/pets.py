"""Oxford-IIIT Pet: 7,349 photographs of 37 breeds of cats and dogs (O. Parkhi et al., CVPR 2012)."""

from collections.abc import Mapping

from torchvision.datasets import OxfordIIITPet

from orchestrator.data import photographs
from orchestrator.data.locations import expanded

FILES = {"train": "trainval", "test": "test"}


class Config(photographs.HeldOut):
    """Location of the photographs, and how they are decoded and split; see `photographs.HeldOut`.

    Args:
        name: `pets`.
        download: whether to download them (0.8 GB) if they are missing.
    """

    name: str = "pets"
    download: bool = False


def _parts(config: Config) -> Mapping[str, photographs.Part]:
    root = expanded(config.root)
    parts = {part: OxfordIIITPet(root, file, download=config.download) for part, file in FILES.items()}
    return {part: list(zip(read._images, read._labels, strict=True)) for part, read in parts.items()}


PHOTOGRAPHS = photographs.Photographs(
    title="Oxford-IIIT Pet",
    parts=_parts,
    images={"train": 3_680, "test": 3_669},
    num_classes=37,
    held_out=740 / 3_680,
    licence="CC BY-SA 4.0; the photographs are their owners'",
    layout="oxford-iiit-pet/annotations/{trainval,test}.txt and oxford-iiit-pet/images/<breed>_<number>.jpg",
    source="https://www.robots.ox.ac.uk/~vgg/data/pets/",
    metric="mean_per_class",
)
card, load = PHOTOGRAPHS.card, PHOTOGRAPHS.load
