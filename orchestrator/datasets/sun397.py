"""SUN397, partition 1: 39,700 of its 108,754 photographs, of 397 kinds of places (J. Xiao et al., CVPR 2010)."""

from collections.abc import Mapping

from torchvision.datasets import SUN397
from torchvision.datasets.utils import download_and_extract_archive

from orchestrator.data import photographs
from orchestrator.data.locations import expanded

FILES = {"train": "Training_01.txt", "test": "Testing_01.txt"}  # the first of ten partitions
PARTITIONS = "https://vision.princeton.edu/projects/2010/SUN/download/Partitions.zip"  # which torchvision does not know


class Config(photographs.HeldOut):
    """Location of the photographs, and how they are decoded and split; see `photographs.HeldOut`.

    Args:
        name: `sun397`.
        download: whether to download them (37 GB) if they are missing.
    """

    name: str = "sun397"
    download: bool = False


def _parts(config: Config) -> Mapping[str, photographs.Part]:
    root = expanded(config.root)
    partitions, images = root / "SUN397" / "Partitions", root / "SUN397"
    if config.download:
        SUN397(root, download=True)
        if not partitions.is_dir():
            download_and_extract_archive(PARTITIONS, root, partitions)
    classes = (images / "ClassName.txt").read_text(encoding="utf-8").split()
    number = {label: place for place, label in enumerate(classes)}
    names = {part: (partitions / file).read_text(encoding="utf-8").split() for part, file in FILES.items()}
    return {
        part: [(images / name.removeprefix("/"), number[name.rpartition("/")[0]]) for name in of_part]
        for part, of_part in names.items()
    }


PHOTOGRAPHS = photographs.Photographs(
    title="SUN397",
    parts=_parts,
    images={"train": 19_850, "test": 19_850},
    num_classes=397,
    held_out=0.2,
    licence="research use; the photographs are their owners'",
    layout="SUN397/ClassName.txt, SUN397/Partitions/{Training,Testing}_01.txt and SUN397/<letter>/<place>/sun_<id>.jpg",
    source="https://vision.princeton.edu/projects/2010/SUN/ (SUN397.tar.gz and Partitions.zip)",
)
card, load = PHOTOGRAPHS.card, PHOTOGRAPHS.load
