"""ImageNet ReaL: ImageNet's validation photographs with all correct labels (L. Beyer et al., arXiv 2006.07159).

    root/real.json    a list of labels for each photograph, in the order of their numbers
    imagenet_val/<WordNet id>/ILSVRC2012_val_<number>.JPEG

Photographs without a correct label are not scored. `test/original` has all photographs, with ImageNet's labels.
"""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from orchestrator.core.errors import UserError, named
from orchestrator.data import imagenet_folders, shifted
from orchestrator.data.imagenet_classes import NUM_CLASSES
from orchestrator.data.images import DatasetCard, ImageSet, fingerprint, require_split
from orchestrator.data.locations import expanded
from orchestrator.datasets import imagenet

LABELS, VARIANT = "real.json", "imagenet_real"
VARIANTS = (shifted.ORIGINAL, VARIANT)
ORIGINAL = shifted.Shifted(shifted.ORIGINAL, images=50_000, licence=imagenet.LICENCE, groups=shifted.by_wnid)
_NUMBERED = re.compile(r"ILSVRC2012_val_(\d{8})\.")


class Config(shifted.Settings):
    """Location of the labels, and of the photographs as `imagenet_val`; see `shifted.Settings`."""

    name: str = "imagenet_real"


def card(config: Config) -> DatasetCard:
    """The card of the configured photographs; decodes them on the first start.

    Raises:
        UserError: if the layout is not the published one, a photograph cannot be read, or the labels do not fit.
    """
    original, accepted = ORIGINAL.card(_photographs(config)), _accepted(config)
    unanswered = int((~accepted.any(axis=1)).sum())
    return replace(
        original,
        fingerprint=fingerprint(original.fingerprint, np.packbits(accepted).tobytes().hex()),
        variants=VARIANTS,
        unlabelled=(f"test/{VARIANT}",),
        remarks=(
            *original.remarks,
            f"photographs that are not scored, because raters found no correct label: {unanswered}",
        ),
    )


def load(config: Config, split: str) -> ImageSet:
    """One split; `bank` is `train`.

    Raises:
        ValueError: if there is no such split.
        UserError: if the layout is not the published one, a photograph cannot be read, or the labels do not fit.
    """
    require_split(split, VARIANTS, test_only=config.imagenet_train is None)
    photographs = _photographs(config)
    if split != f"test/{VARIANT}":
        return ORIGINAL.load(photographs, split)
    accepted = _accepted(config)
    rows = np.flatnonzero(accepted.any(axis=1))
    return ImageSet(ORIGINAL.load(photographs, f"test/{shifted.ORIGINAL}").images[rows], accepted=accepted[rows])


def _photographs(config: Config) -> shifted.Settings:
    """The photographs as a test set."""
    if config.imagenet_val is None:
        raise UserError(
            f"{config.root}: ReaL has only labels; set run.dataset.imagenet_val to the folder of the photographs"
        )
    return config.model_copy(update={"root": config.imagenet_val, "imagenet_val": None})


def _accepted(config: Config) -> Bool[np.ndarray, "N 1000"]:
    """The correct classes of each photograph."""
    file = expanded(config.root) / LABELS
    labels = _labels(file)
    folder = expanded(_photographs(config).root)
    names = imagenet_folders.photographs(imagenet_folders.imagenet_layout(folder))
    accepted = np.zeros((len(names), NUM_CLASSES), bool)
    for row, (name, _) in zip(accepted, names, strict=True):
        numbered = _NUMBERED.search(name)
        if numbered is None or not 1 <= int(numbered[1]) <= len(labels):
            law = (
                f"must be ILSVRC2012_val_ and a number from 00000001 to {len(labels):08d}, for which {file} has labels"
            )
            raise UserError(f"{folder / name}: its name {law}")
        row[labels[int(numbered[1]) - 1]] = True
    return accepted


def _labels(file: Path) -> list[list[int]]:
    try:
        labels = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{file} must be the published list of labels, but cannot be read ({named(error)})") from error
    if not isinstance(labels, list) or not all(isinstance(of_one, list) for of_one in labels):
        raise UserError(f"{file} must hold a list of lists of labels, one for each photograph")
    if any(type(label) is not int or not 0 <= label < NUM_CLASSES for of_one in labels for label in of_one):
        raise UserError(f"{file}: every label must be a number from 0 to {NUM_CLASSES - 1}")
    return labels
