"""The 1000 classes of ImageNet, in the order of a classifier's logits, and the ImageNet-9 class of each."""

from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Int64

LABEL_SPACE = "imagenet1k"  # as cards and encoders name it
NUM_CLASSES = 1000
IMAGENET9 = ("dog", "bird", "vehicle", "reptile", "carnivore", "insect", "instrument", "primate", "fish")
NONE = -1  # not in ImageNet-9; as a prediction it is always wrong

_FILE = Path(__file__).with_suffix(".txt")


@cache
def numbers() -> dict[str, int]:
    """The number of each class by its WordNet id, such as `n01440764`."""
    return {wnid: number for number, (wnid, _) in enumerate(_rows())}


@cache
def to_imagenet9() -> Int64[np.ndarray, "1000"]:
    """The ImageNet-9 class, 0 to 8, of each ImageNet class, or `NONE` for the 630 that have none.

    Source: Xiao et al., "Noise or signal", arXiv 2006.09994, table 4.
    """
    return np.array([NONE if name == "-" else IMAGENET9.index(name) for _, name in _rows()])


def _rows() -> list[list[str]]:
    lines = _FILE.read_text(encoding="utf-8").splitlines()
    return [line.split() for line in lines if not line.startswith("#")]
