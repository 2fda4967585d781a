"""Oxford Flowers-102: 8,189 photographs of 102 flowers (M.-E. Nilsback and A. Zisserman, ICVGIP 2008)."""

from collections.abc import Mapping

from torchvision.datasets import Flowers102

from orchestrator.data import photographs
from orchestrator.data.locations import expanded

FILES = {"train": "train", "validation": "val", "test": "test"}


class Config(photographs.Settings):
    """Location of the photographs, and how they are decoded; see `photographs.Settings`. The splits are published.

    Args:
        name: `flowers`.
        download: whether to download them (0.3 GB) if they are missing.
    """

    name: str = "flowers"
    download: bool = False


def _parts(config: Config) -> Mapping[str, photographs.Part]:
    root = expanded(config.root)
    parts = {part: Flowers102(root, file, download=config.download) for part, file in FILES.items()}
    return {part: list(zip(read._image_files, read._labels, strict=True)) for part, read in parts.items()}


PHOTOGRAPHS = photographs.Photographs(
    title="Flowers-102",
    parts=_parts,
    images={"train": 1_020, "validation": 1_020, "test": 6_149},
    num_classes=102,
    licence="none is stated by the authors; the photographs are their owners'",
    layout="flowers-102/{imagelabels,setid}.mat and flowers-102/jpg/image_<number>.jpg",
    source="https://www.robots.ox.ac.uk/~vgg/data/flowers/102/",
    metric="mean_per_class",
)
card, load = PHOTOGRAPHS.card, PHOTOGRAPHS.load
