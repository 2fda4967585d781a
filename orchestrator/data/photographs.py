"""Published sets of photographs for transfer: listed from their annotations, decoded once, and split."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Int64
from pydantic import Field

from augment import draws
from augment.config import Config as BaseConfig
from orchestrator.core.errors import UserError, named
from orchestrator.data.decode_cache import FORMAT, Decoded, decoded
from orchestrator.data.images import DatasetCard, ImageSet, drawn_places, fingerprint, require_split
from orchestrator.data.listing import Listing, Sample
from orchestrator.data.locations import CACHE, Place, expanded
from orchestrator.data.own_images import left_out_text, remarks, state_of, triple

SPLITTING = "photographs/1"  # raise it when code changes which images are held out
VARIANTS = ("original",)
MOST_UNREADABLE = 0.01  # share of all images; the publications have fewer

Part = Sequence[tuple[Path, int]]  # files, each with its class from 0


class Settings(BaseConfig):
    """Location of the photographs, and how they are decoded.

    Args:
        name: of the data set.
        root: parent of the published folder.
        size: side of the decoded squares in pixels: the shorter side is resized to it, bicubic and antialiased, and the
            middle is cut out.
        cache: folder for decoded images.
    """

    name: str
    root: Place = CACHE
    size: int = Field(96, ge=8, le=1024)
    cache: Place = CACHE


class HeldOut(Settings):
    """Settings of a data set without a published validation split.

    Args:
        seed: chooses the training images that are held out as `validation`, evenly over the classes.
    """

    seed: int = Field(0, ge=0, lt=2**32)


@dataclass(eq=False)
class Photographs:
    """One published set.

    Args:
        title: its usual name.
        parts: lists `train`, `test`, and `validation` if one was published.
        images: number of published images of each part.
        num_classes: labels run from 0 to this.
        licence: under which the images may be distributed.
        layout: files that `root` must contain.
        source: where to download it.
        held_out: share of `train` that becomes `validation` if none was published.
        metric: for the test split.

    Source: splits and metrics from Lee et al., "Improving transferability of representations via augmentation-aware
        self-supervision" (NeurIPS 2021) and its code. The number of held-out images is the same; they are drawn
        by this project's generator, evenly over the classes.
    """

    title: str
    parts: Callable[[Any], Mapping[str, Part]]
    images: Mapping[str, int]
    num_classes: int
    licence: str
    layout: str
    source: str
    held_out: float = 0.0
    metric: Literal["accuracy", "mean_per_class"] = "accuracy"

    def card(self, config: Settings) -> DatasetCard:
        """The card of the configured images; decodes them on the first start.

        Raises:
            UserError: if the layout is not the published one, or the download fails.
        """
        opened = self.opened(config)
        seed = config.seed if isinstance(config, HeldOut) else None
        return DatasetCard(
            num_classes=self.num_classes,
            mean=triple(opened.mean),
            std=triple(opened.std),
            size=config.size,
            train_size=opened.parts["train"] - round(self.held_out * opened.parts["train"]),
            licence=self.licence,
            fingerprint=fingerprint(FORMAT, SPLITTING, config.size, seed, opened.content),
            variants=VARIANTS,
            bank_is_train=True,
            remarks=remarks(opened),
            metric=self.metric,
        )

    def load(self, config: Settings, split: str) -> ImageSet:
        """One split; `bank` is `train`, and `test/original` holds the published test images.

        Raises:
            ValueError: if there is no such split.
            UserError: if the layout is not the published one, or the download fails.
        """
        require_split(split, VARIANTS)
        opened = self.opened(config)
        if split.startswith("test/"):
            return opened.part("test")
        if not isinstance(config, HeldOut):
            return opened.part("validation" if split == "validation" else "train")
        images = opened.part("train")
        assert images.labels is not None, "every photograph is listed with a label"
        kept, held_out = evenly_held_out(images.labels, self.held_out, config.seed)
        rows = held_out if split == "validation" else kept
        return ImageSet(images.images[rows], images.labels[rows])

    def opened(self, config: Settings) -> Decoded:
        """The decoded images behind the splits.

        Raises:
            UserError: if the layout is not the published one, or the download fails.
        """
        return _opened(self, config)  # pyright: ignore[reportArgumentType] - a frozen model has a hash

    def listing(self, config: Settings) -> Listing:
        """The images that the annotations list.

        Raises:
            UserError: if annotations are missing, or differ from the published ones.
        """
        try:
            parts = self.parts(config)
        except Exception as error:  # parsers of annotations raise many kinds of errors
            raise self._refused(config, named(error)) from error
        for part, count in self.images.items():
            if len(parts[part]) != count:
                raise self._refused(config, f"{len(parts[part])} images of {part} found, {count} were published")
        if any(not 0 <= label < self.num_classes for part in parts.values() for _, label in part):
            raise self._refused(config, f"classes beyond the {self.num_classes} published ones")

        def samples() -> Iterator[Sample]:
            for part in self.images:
                for file, label in parts[part]:
                    yield Sample(str(file), file, None, label)

        return Listing(
            source=f"{self.title} in {expanded(config.root)}",
            parts=dict(self.images),
            num_classes=self.num_classes,
            masked=False,
            state=[[str(file), label, *state_of(file)] for part in self.images for file, label in parts[part]],
            samples=samples,
        )

    def _refused(self, config: Settings, reason: str) -> UserError:
        # Data sets that torchvision cannot download have no such setting.
        fetch = "set download: true, or download it" if getattr(config, "download", None) is False else "download it"
        return UserError(
            f"{expanded(config.root)} does not hold {self.title} as published ({reason}): it must contain "
            f"{self.layout}; {fetch} from {self.source}"
        )


def evenly_held_out(
    labels: Int64[np.ndarray, "N"], share: float, seed: int
) -> tuple[Int64[np.ndarray, "kept"], Int64[np.ndarray, "held_out"]]:
    """The rows to train on and those to validate on, with nearly the same share of each class.

    Args:
        labels: classes from 0.
        share: of all images to hold out, in (0, 1).
        seed: of the choice.

    Returns:
        Rows kept and rows held out, each in ascending order.
    """
    order, places = drawn_places(labels, draws.derive_seed(seed, "held out"))
    behind = (places + 0.5) / np.bincount(labels)[labels]  # relative position in its class, in (0, 1)
    order = order[np.argsort(behind[order], kind="stable")]
    count = round(share * len(labels))
    return np.sort(order[count:]), np.sort(order[:count])


# A process sees the files in one state, however often it asks; a new state is seen by the next process.
@lru_cache(maxsize=16)
def _opened(photographs: Photographs, config: Settings) -> Decoded:
    opened = decoded(photographs.listing(config), cache=expanded(config.cache), size=config.size)
    total = sum(opened.parts.values()) + len(opened.left_out)
    if len(opened.left_out) > MOST_UNREADABLE * total:
        raise photographs._refused(config, left_out_text(opened.left_out))
    return opened
