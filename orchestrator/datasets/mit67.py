"""MIT Indoor-67: 6,700 photographs of 67 kinds of rooms (A. Quattoni and A. Torralba, CVPR 2009)."""

from collections.abc import Mapping

from orchestrator.data import photographs
from orchestrator.data.locations import expanded

FILES = {"train": "TrainImages.txt", "test": "TestImages.txt"}


class Config(photographs.HeldOut):
    """Location of the photographs, and how they are decoded and split; see `photographs.HeldOut`."""

    name: str = "mit67"


def _parts(config: Config) -> Mapping[str, photographs.Part]:
    folder = expanded(config.root) / "mit67"
    names = {part: (folder / file).read_text(encoding="utf-8").split("\n") for part, file in FILES.items()}
    named = {part: [name.strip() for name in of_part if name.strip()] for part, of_part in names.items()}
    classes = sorted({name.partition("/")[0] for name in named["train"]})
    number = {label: place for place, label in enumerate(classes)}
    return {
        part: [(folder / "Images" / name, number[name.partition("/")[0]]) for name in of_part]
        for part, of_part in named.items()
    }


PHOTOGRAPHS = photographs.Photographs(
    title="MIT Indoor-67",
    parts=_parts,
    images={"train": 5_360, "test": 1_340},
    num_classes=67,
    held_out=670 / 5_360,
    licence="research use; the photographs are their owners'",
    layout="mit67/{TrainImages,TestImages}.txt and mit67/Images/<room>/<name>.jpg",
    source="https://web.mit.edu/torralba/www/indoor.html",
)
card, load = PHOTOGRAPHS.card, PHOTOGRAPHS.load
