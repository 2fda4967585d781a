"""ObjectNet: household objects in odd poses and places (A. Barbu et al., NeurIPS 2019); of 313 classes, the 113 shared.

    root/images/<class>/*.png    root/mappings/*    (the unpacked objectnet-1.0)

A class of ObjectNet may map to several of ImageNet's, all of which count as correct. The red border of 2 pixels that
marks its images is cut off.
"""

import json
from pathlib import Path
from typing import Any

from orchestrator.core.errors import UserError, named
from orchestrator.data import shifted
from orchestrator.data.imagenet_classes import NUM_CLASSES

MAPPINGS = "mappings"
FOLDERS, SHARED = "folder_to_objectnet_label.json", "objectnet_to_imagenet_1k.json"
NUMBERS, NAMES = "pytorch_to_imagenet_2012_id.json", "imagenet_to_label_2012_v2"


class Config(shifted.Settings):
    """Location of the set and of its references; see `shifted.Settings`."""

    name: str = "objectnet"


def groups(root: Path) -> shifted.Groups:
    """The ImageNet classes that each folder of `images` maps to; folders without one are left out.

    Raises:
        UserError: if a mapping is missing, or names a class that is not in another.
    """
    try:
        folder_of = {label: folder for folder, label in _read(root, FOLDERS).items()}
        # The line of a name is its number in the competition of 2012, whose order is not that of the logits.
        number_of_line = {line: int(number) for number, line in _read(root, NUMBERS).items()}
        lines = (root / MAPPINGS / NAMES).read_text(encoding="utf-8").splitlines()
        number_of = {name.strip(): number_of_line[line] for line, name in enumerate(lines)}
        shared = {
            folder_of[label]: tuple(number_of[name] for name in names.split("; "))
            for label, names in _read(root, SHARED).items()
        }
    except (OSError, ValueError, KeyError, AttributeError) as error:
        files = ", ".join((FOLDERS, SHARED, NUMBERS, NAMES))
        raise UserError(
            f"{root / MAPPINGS} does not hold ObjectNet's mappings as published ({named(error)}): {files}"
        ) from error
    if any(not 0 <= number < NUM_CLASSES for numbers in shared.values() for number in numbers):
        raise UserError(f"{root / MAPPINGS / NUMBERS} must number classes from 0 to {NUM_CLASSES - 1}")
    return shared


def _read(root: Path, name: str) -> dict[str, Any]:
    return json.loads((root / MAPPINGS / name).read_text(encoding="utf-8"))


SET = shifted.Shifted(
    variant="objectnet",
    images=18_574,  # of the 113 classes, among 50,273
    licence="CC BY 4.0, for tests only: its terms forbid training on it",
    groups=groups,
    inside="images",
    border=2,
    strict=False,
    restricted=True,
)
card, load = SET.card, SET.load
