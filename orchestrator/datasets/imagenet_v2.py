"""ImageNet-V2: 10,000 photographs collected again like ImageNet's own (B. Recht et al., arXiv 1902.10811).

root/<class, 0 to 999>/*.jpeg    (imagenetv2-matched-frequency-format-val, or another of its three selections)
"""

from pathlib import Path

from orchestrator.data import shifted
from orchestrator.data.imagenet_classes import NUM_CLASSES


class Config(shifted.Settings):
    """Location of the set and of its references; see `shifted.Settings`."""

    name: str = "imagenet_v2"


def _by_number(root: Path) -> shifted.Groups:
    return {str(number): (number,) for number in range(NUM_CLASSES)}


SET = shifted.Shifted(
    variant="imagenet_v2",
    images=10_000,
    licence="MIT (the collection); the photographs are their owners'",
    groups=_by_number,
)
card, load = SET.card, SET.load
