"""Labels as users write them, text or numbers, and the classes from 0 that they become."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from orchestrator.core.errors import UserError
from orchestrator.data.file_tree import examples

Label = TypeVar("Label", str, int)


@dataclass(frozen=True)
class Classes:
    """The classes of a data set.

    Args:
        names: of the classes in the order of their numbers; empty if nothing tells images apart.
        numbers: class of each image by part, -1 without a label.
        unlabelled: parts without labels, where `train` has some.
        single: the only label of `train`, if there is just one, which is used for nothing.
    """

    names: tuple[str, ...]
    numbers: Mapping[str, Sequence[int]]
    unlabelled: tuple[str, ...] = ()
    single: str | None = None

    @property
    def count(self) -> int | None:
        """How many classes there are, or None without labels."""
        return len(self.names) or None


def classes(source: str, labels: Mapping[str, Sequence[Label | None]], *, remedy: str) -> Classes:
    """Numbers the labels of `train` in sorted order.

    A part in which no image has a label is unlabelled; if that is `train`, labels of other parts are used for nothing.

    Args:
        source: for messages.
        labels: of each image by part; None for an image without one.
        remedy: how to use the images without labels, for messages.

    Raises:
        UserError: if only some images of a part have labels, or a part has a class that `train` does not have.
    """
    bare = {part: sum(label is None for label in of_part) for part, of_part in labels.items()}
    for part, count in bare.items():
        if 0 < count < len(labels[part]):
            total = len(labels[part])
            raise UserError(
                f"{source}: all images of {part} or none must have labels, but {count} of {total} have none; {remedy}"
            )
    known = sorted({label for label in labels["train"] if label is not None})
    for part, of_part in labels.items() if known else ():
        unknown = sorted({label for label in of_part if label is not None} - set(known))
        if unknown:
            names = examples([str(one) for one in unknown])
            raise UserError(f"{source}: {part} has images of class {names}, and train has none of it; {remedy}")
    if len(known) < 2:
        single = str(known[0]) if known else None
        return Classes((), {part: [-1] * len(of_part) for part, of_part in labels.items()}, single=single)
    unlabelled = tuple(part for part, count in bare.items() if count)
    number = {label: place for place, label in enumerate(known)}
    numbers = {part: [-1 if label is None else number[label] for label in of_part] for part, of_part in labels.items()}
    return Classes(tuple(map(str, known)), numbers, unlabelled)


def classes_text(found: Classes, *, taken_from: str, otherwise: str) -> str:
    """What was understood of the labels, in one line.

    Args:
        found: the classes.
        taken_from: where labels come from, such as `folder names`.
        otherwise: why there are no labels, and how to get them.
    """
    if not found.names:
        return f"no labels: {otherwise}"
    text = f"{len(found.names)} classes from {taken_from}: {examples(found.names)}"
    return text + "".join(f"; no labels in {part}" for part in found.unlabelled)


def counts_text(parts: Mapping[str, int]) -> str:
    """How many images each part has: `90 images in train, 10 in test`."""
    first, *others = parts.items()
    return ", ".join([f"{first[1]} images in {first[0]}", *(f"{count} in {part}" for part, count in others)])
