"""The user's own images in folders, as ImageNet has them: labels, masks and a validation split if there are any.

    root/train/  root/validation/  root/test/     images, or one folder of them per class; only train is needed
    root/masks/train/cat/1.png                    foreground of root/train/cat/1.jpg: grey, 8 bits, 255 is foreground

A root without these folders is `train` as a whole. Folders and files named `Training`, `val2017`, `test_0` and the like
count as splits too; see `orchestrator.data.assignment`. Sub-folders of a class folder belong to the class.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from orchestrator.core.errors import UserError, printable
from orchestrator.data import own_images
from orchestrator.data.assignment import Assignment, assign, require_no_empty
from orchestrator.data.class_labels import classes, classes_text, counts_text
from orchestrator.data.file_tree import Tree, ignored_text, is_image, kind_of, walk
from orchestrator.data.images import DatasetCard, ImageSet, fingerprint
from orchestrator.data.listing import Listing, Sample
from orchestrator.storage.object_store import ObjectPlace

MASKS = "masks"
# A class may be called mask, but not next to a folder called images.
_BESIDE = ({"masks", "mask"}, {"images", "image", "imgs"})


class Config(own_images.Settings):
    """Which images, and how they are decoded and split; see `own_images.Settings`.

    Args:
        name: of the data set.
        labels: `folders` takes the folder of an image below its split for its class; `none` uses no labels.
    """

    name: str = "image_folder"
    labels: Literal["folders", "none"] = "folders"


_REMEDY = "put them into the folder of a class, or set run.dataset.labels: none"


@dataclass(frozen=True)
class Folder:
    """Lists the images in a folder.

    Args:
        labelled: whether folders are classes.
        patterns: the setting `splits`.
    """

    labelled: bool
    patterns: own_images.PatternItems | None

    def __call__(self, root: Path | ObjectPlace) -> Listing:
        """The listing of a folder.

        Raises:
            UserError: if it cannot be understood, or holds no images.
        """
        tree, images, mask_files = _files(root)
        patterns = None if self.patterns is None else dict(self.patterns)
        found = assign(images, source=str(root), classes=True, patterns=patterns)
        if patterns is None:
            require_no_empty(tree.folders, found, source=str(root))
        for name in found.unused:
            tree.ignore("image that run.dataset.splits does not name", name)
        _require_no_masks(str(tree.root), found)
        labels = {part: [_label(name, found) for name in names] for part, names in found.parts.items()}
        if not self.labelled:
            labels = {part: [None] * len(names) for part, names in found.parts.items()}
        understood = classes(str(root), labels, remedy=_REMEDY)
        masks = _masks(tree, found.parts, mask_files)

        def samples() -> Iterator[Sample]:
            for part, names in found.parts.items():
                for name, number in zip(names, understood.numbers[part], strict=True):
                    mask = tree.root / masks[name] if name in masks else None
                    yield Sample(printable(name), tree.root / name, mask, number)

        everything = [*(name for names in found.parts.values() for name in names), *masks.values()]
        parts = {part: len(names) for part, names in found.parts.items()}
        otherwise = _without_labels(self.labelled, understood.single)
        label_text = classes_text(understood, taken_from="folder names", otherwise=otherwise)
        notes = [f"{counts_text(parts)}{_reason(found)}; {label_text}", _empty_folders(tree, found), ignored_text(tree)]
        return Listing(
            source=str(root),
            parts=parts,
            num_classes=understood.count,
            masked=bool(masks),
            state=[
                [[name, *own_images.state_of(os.path.join(tree.root, name))] for name in everything],
                parts,
                fingerprint(understood.numbers),
            ],
            samples=samples,
            unlabelled=understood.unlabelled,
            notes=tuple(note for note in notes if note),
        )


def card(config: Config) -> DatasetCard:
    """The card of the configured images; decodes them on the first start.

    Raises:
        UserError: if the images cannot be used as they are.
    """
    return _images(config).card(config)


def load(config: Config, split: str) -> ImageSet:
    """One split.

    Raises:
        ValueError: if there is no such split.
        UserError: if the images cannot be used as they are.
    """
    return _images(config).load(config, split)


def _images(config: Config) -> own_images.OwnImages:
    return own_images.OwnImages(Folder(config.labels == "folders", config.patterns))


def _files(root: Path | ObjectPlace) -> tuple[Tree, list[str], list[str]]:
    """All below the root, and among it the images and the masks."""
    if isinstance(root, ObjectPlace):
        raise UserError(
            f"run.dataset.root = {root}: images must lie in a folder; an object store may hold Parquet files"
        )
    own_images.require_place(root)
    if not root.is_dir():
        raise UserError(f"run.dataset.root = {root}: it is a file; name the folder that holds the images")
    tree = walk(root)
    images, masks = [], []
    for name in tree.files:
        if not is_image(root, name):
            tree.ignore(kind_of(name), name)
        elif "/" in name and name.partition("/")[0].lower() == MASKS:
            masks.append(name)
        else:
            images.append(name)
    if not images:
        ignored = ignored_text(tree)
        raise UserError(f"{root} holds no images" + (f" ({ignored})" if ignored else ""))
    return tree, images, masks


def _require_no_masks(source: str, found: Assignment) -> None:
    """Rejects folders of images next to folders of their masks, which would become two classes."""
    first = {folder[0].lower(): name for name, folder in found.inner.items() if folder}
    masks = next((name for label, name in first.items() if label in _BESIDE[0]), None)
    if masks is not None and _BESIDE[1] & set(first):
        raise UserError(
            f"{source}: {printable(masks)} lies next to a folder of images: the mask of FOLDER/1.jpg must be "
            "masks/FOLDER/1.png below the root"
        )


def _label(name: str, found: Assignment) -> str | None:
    """The class folder of an image, or None without one."""
    folder = found.inner[name.rpartition("/")[0]]
    return folder[0] if folder else None


def _masks(tree: Tree, parts: Mapping[str, Sequence[str]], files: Sequence[str]) -> dict[str, str]:
    """The mask of each image that has one."""
    there: dict[str, str] = {}
    for file in sorted(files, key=lambda name: not name.lower().endswith(".png")):
        there.setdefault(os.path.splitext(file.partition("/")[2])[0], file)
    images = [name for names in parts.values() for name in names]
    found = {name: there[stem] for name in images if (stem := os.path.splitext(name)[0]) in there}
    if there and not found:
        name = images[0]
        raise UserError(
            f"{tree.root / next(iter(there.values())).partition('/')[0]} fits no image: the mask of {printable(name)} "
            f"must be {MASKS}/{printable(os.path.splitext(name)[0])}.png"
        )
    used = set(found.values())
    for file in files:
        if file not in used:
            tree.ignore("mask of no image", file)
    return found


def _reason(found: Assignment) -> str:
    return f" by {found.how}" if found.how and len(found.parts) > 1 else ""


def _without_labels(labelled: bool, single: str | None) -> str:
    if not labelled:
        return "run.dataset.labels is none"
    return "images lie in no folder of a class" if single is None else f"all images lie in one folder, {single}"


def _empty_folders(tree: Tree, found: Assignment) -> str:
    """Folders that could be classes but for their lack of images."""
    unused = {name.rpartition("/")[0] for name in found.unused}
    used = {folder for name in (*found.inner, *unused) for folder in _above(name)}
    level = min((len(name.split("/")) - len(folder) + 1 for name, folder in found.inner.items() if folder), default=1)
    empty = [
        name
        for name in tree.folders
        if name not in used and len(name.split("/")) <= level and name.partition("/")[0].lower() != MASKS
    ]
    named = ", ".join(map(printable, empty[:3])) + (", ..." if len(empty) > 3 else "")
    return f"{len(empty)} folders without images are no classes: {named}" if empty else ""


def _above(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]
