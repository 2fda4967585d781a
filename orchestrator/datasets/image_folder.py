"""The user's own images in folders, as ImageNet has them: labels, masks and a validation split if there are any.

    root/train/  root/validation/  root/test/     images, or one folder of them per class; only train is needed
    root/masks/train/cat/1.png                    foreground of root/train/cat/1.jpg: grey, 8 bits, 255 is foreground

A root without these folders is taken as `train` as a whole. Sub-folders of a class folder belong to the class.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from orchestrator.core.errors import UserError
from orchestrator.data import own_images
from orchestrator.data.decode_cache import Listing, Sample
from orchestrator.data.decoding import SUFFIXES
from orchestrator.storage.object_store import ObjectPlace

MASKS = "masks"


class Config(own_images.Settings):
    """Which images, and how they are decoded and split; see `own_images.Settings`."""

    name: str = "image_folder"


def listing(root: Path | ObjectPlace) -> Listing:
    """What lies in a folder.

    Raises:
        UserError: if it is laid out in another way, or holds no images.
    """
    if isinstance(root, ObjectPlace):
        raise UserError(
            f"run.dataset.root = {root}: images must lie in a folder; an object store may hold Parquet files"
        )
    folders = own_images.part_folders(root)
    names = _image_names(root, folders)
    labels = {part: [_label(name.removeprefix(f"{part}/")) for name in names[part]] for part in names}
    num_classes, numbers = own_images.class_numbers(root, labels)
    masks = _masks(root, names)

    def samples() -> Iterator[Sample]:
        for part, of_part in names.items():
            for name, number in zip(of_part, numbers[part], strict=True):
                yield Sample(name, root / name, root / masks[name] if name in masks else None, number)

    everything = [*(name for of_part in names.values() for name in of_part), *masks.values()]
    return Listing(
        source=str(root),
        parts={part: len(of_part) for part, of_part in names.items()},
        num_classes=num_classes,
        masked=bool(masks),
        state=[[name, *own_images.state_of(os.path.join(root, name))] for name in everything],
        samples=samples,
    )


IMAGES = own_images.OwnImages(listing)
card, load = IMAGES.card, IMAGES.load


def _image_names(root: Path, folders: Mapping[str, Path]) -> dict[str, list[str]]:
    """The images of each part, by their sorted names below the root."""
    names = {part: _names_below(root, folder, SUFFIXES) for part, folder in folders.items()}
    if folders["train"] == root:
        names["train"] = [name for name in names["train"] if not name.startswith(f"{MASKS}/")]
    elif stray := [entry.name for entry in sorted(root.iterdir()) if entry.suffix.lower() in SUFFIXES]:
        raise UserError(f"{root} holds {stray[0]} beside train/: put it into train, validation or test")
    for part, of_part in names.items():
        if not of_part:
            raise UserError(f"{folders[part]} holds no images ({', '.join(SUFFIXES)})")
    return names


def _masks(root: Path, names: Mapping[str, list[str]]) -> dict[str, str]:
    """The mask of each image that has one."""
    there = set(_names_below(root, root / MASKS, (".png",)))
    wanted = {name: f"{MASKS}/{os.path.splitext(name)[0]}.png" for of_part in names.values() for name in of_part}
    found = {name: mask for name, mask in wanted.items() if mask in there}
    if there and not found:
        name, mask = next(iter(wanted.items()))
        raise UserError(f"{root / MASKS} fits no image: the mask of {name} must be {mask}")
    return found


# Names, not paths: a data set may have a million of them, and every start looks at each.
def _names_below(root: Path, folder: Path, suffixes: tuple[str, ...]) -> list[str]:
    """Files with one of some endings in a folder and all below it; what begins with a dot is not seen."""
    found = []
    for place, below, names in os.walk(folder, followlinks=True):
        below[:] = sorted(name for name in below if not name.startswith("."))
        inside = "" if place == str(root) else f"{os.path.relpath(place, root)}/"
        seen = (name for name in sorted(names) if name.lower().endswith(suffixes) and not name.startswith("."))
        found += [inside + name for name in seen]
    return found


def _label(name: str) -> str | None:
    """The class folder of an image, or None where it lies in none."""
    folder, slash, _ = name.partition("/")
    return folder if slash else None
