"""The user's own images in folders, as ImageNet has them: labels, masks and a validation split if there are any.

    root/train/  root/validation/  root/test/     images, or one folder of them per class; only train is needed
    root/masks/train/cat/1.png                    foreground of root/train/cat/1.jpg: grey, 8 bits, 255 is foreground

A root without these folders is taken as `train` as a whole. Sub-folders of a class folder belong to the class.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from orchestrator.datasets import own_images
from orchestrator.datasets.decode_cache import Listing, Sample
from orchestrator.errors import UserError
from orchestrator.images import DatasetCard, ImageSet

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
MASKS = "masks"


class Config(own_images.Settings):
    """Which images, and how they are decoded and split; see `own_images.Settings`."""

    name: str = "image_folder"


def card(config: Config) -> DatasetCard:
    """What the configured images are; decodes them if no earlier start has.

    Raises:
        UserError: if the images cannot be used as they are.
    """
    return own_images.card(config, listing)


def load(config: Config, split: str) -> ImageSet:
    """One split; see `own_images.load`.

    Raises:
        ValueError: if there is no such split.
        UserError: if the images cannot be used as they are.
    """
    return own_images.load(config, split, listing)


def listing(root: Path) -> Listing:
    """What lies in a folder.

    Raises:
        UserError: if it is laid out in another way, or holds no images.
    """
    folders = own_images.part_folders(root)
    files = _image_files(root, folders)
    labels = {part: [_label(file.relative_to(folders[part])) for file in of_part] for part, of_part in files.items()}
    num_classes, numbers = own_images.class_numbers(root, labels)
    masks = _masks(root, files)

    def samples() -> Iterator[Sample]:
        for part, of_part in files.items():
            for file, number in zip(of_part, numbers[part], strict=True):
                yield Sample(str(file.relative_to(root)), file, masks.get(file), number)

    everything = [*(file for of_part in files.values() for file in of_part), *masks.values()]
    return Listing(
        parts={part: len(of_part) for part, of_part in files.items()},
        num_classes=num_classes,
        masked=bool(masks),
        state=[[str(file.relative_to(root)), *own_images.state_of(file)] for file in everything],
        samples=samples,
    )


def _image_files(root: Path, folders: Mapping[str, Path]) -> dict[str, list[Path]]:
    """The images of each part, sorted."""
    files = {part: list(_files(folder, SUFFIXES)) for part, folder in folders.items()}
    if folders["train"] == root:
        files["train"] = [file for file in files["train"] if file.relative_to(root).parts[0] != MASKS]
    elif stray := [entry.name for entry in sorted(root.iterdir()) if entry.suffix.lower() in SUFFIXES]:
        raise UserError(f"{root} holds {stray[0]} beside train/: put it into train, validation or test")
    for part, of_part in files.items():
        if not of_part:
            raise UserError(f"{folders[part]} holds no images ({', '.join(SUFFIXES)})")
    return files


def _masks(root: Path, files: Mapping[str, list[Path]]) -> dict[Path, Path]:
    """The mask of each image that has one."""
    there = set(_files(root / MASKS, (".png",)))
    wanted = {
        file: root / MASKS / file.relative_to(root).with_suffix(".png")
        for of_part in files.values()
        for file in of_part
    }
    found = {file: mask for file, mask in wanted.items() if mask in there}
    if there and not found:
        image, mask = next(iter(wanted.items()))
        raise UserError(
            f"{root / MASKS} fits no image: the mask of {image.relative_to(root)} must be {mask.relative_to(root)}"
        )
    return found


def _files(folder: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    """Files with one of some endings in a folder and all below it, sorted; what begins with a dot is not seen."""
    for place, below, names in os.walk(folder, followlinks=True):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in sorted(names):
            if name.lower().endswith(suffixes) and not name.startswith("."):
                yield Path(place, name)


def _label(file: Path) -> str | None:
    """The class folder of a file, or None where it lies in none."""
    return file.parts[0] if len(file.parts) > 1 else None
