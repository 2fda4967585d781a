"""ImageNet-9: 4,050 photographs of nine classes, each in eight variants (K. Xiao et al., arXiv 2006.09994).

    root/<variant>/val/<NN_class>/*.JPEG        the published test, eight variants
    root/fg_mask/val/<NN_class>/*.npy           foregrounds of `original`, an array of the size of each image
    train_root/train/<NN_class>/*.JPEG          a published training archive, such as original or in9l (optional)

The `val` of a training archive is not cleaned and is not the test. The test images come from ImageNet's training
images, so a classifier trained on ImageNet has seen the originals.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from pydantic import Field

from augment.config import Config as BaseConfig
from orchestrator.core.errors import UserError, named
from orchestrator.data.decode_cache import FORMAT as DECODING
from orchestrator.data.decode_cache import Decoded, decoded
from orchestrator.data.file_tree import image_endings
from orchestrator.data.imagenet_classes import IMAGENET9
from orchestrator.data.images import DatasetCard, ImageSet, fingerprint, held_out_rows, require_split
from orchestrator.data.listing import Listing, Sample
from orchestrator.data.locations import CACHE, Place, expanded
from orchestrator.data.own_images import state_of
from orchestrator.datasets import imagenet

FORMAT = "imagenet9/1"  # raise it when code changes which images are held out
VARIANTS = ("original", "mixed_same", "mixed_rand", "mixed_next", "only_fg", "no_fg", "only_bg_b", "only_bg_t")
MASKS = "fg_mask"
LABEL_SPACE = "imagenet9"
IMAGES = 4_050  # of each variant, as published
HELD_OUT = 0.1
MEAN, STD = (0.4717, 0.4499, 0.3837), (0.2600, 0.2516, 0.2575)  # of the training images, as published

Labelled = tuple[Path, int]


class Config(BaseConfig):
    """Location of the release, and how it is decoded.

    Args:
        name: `imagenet9`.
        root: the unpacked release with one folder per variant.
        train_root: an unpacked training archive with a folder `train`; without it, no probe can be fitted.
        size: side of the decoded squares in pixels; the published images have 224.
        cache: folder for decoded images.
        seed: chooses the tenth of the training images that is held out as `validation`.
    """

    name: str = "imagenet9"
    root: Place
    train_root: Place | None = None
    size: int = Field(224, ge=8, le=1024)
    cache: Place = CACHE
    seed: int = Field(0, ge=0, lt=2**32)


def card(config: Config) -> DatasetCard:
    """The card of the configured images; decodes them on the first start (5 GB at 224 pixels).

    Raises:
        UserError: if the layout is not the published one, or an image or mask cannot be read.
    """
    tests = [_test(config, variant) for variant in VARIANTS]
    train = _train(config)
    contents = [one.content for one in (*tests, *([train] if train else []))]
    counts = {one.parts["test"] for one in tests}
    return DatasetCard(
        num_classes=len(IMAGENET9),
        mean=MEAN,
        std=STD,
        size=config.size,
        train_size=train.parts["train"] if train else 0,
        licence=imagenet.LICENCE,
        fingerprint=fingerprint(FORMAT, DECODING, config.size, config.seed, contents),
        variants=VARIANTS,
        bank_is_train=True,
        remarks=() if counts == {IMAGES} else (f"{min(counts)} of the {IMAGES} published images were found",),
        label_space=LABEL_SPACE,
    )


def load(config: Config, split: str) -> ImageSet:
    """One split; `bank` is `train`, and only `test/original` has masks.

    Raises:
        ValueError: if there is no such split.
        UserError: if the layout is not the published one, or an image or mask cannot be read.
    """
    require_split(split, VARIANTS, test_only=config.train_root is None)
    part, _, variant = split.partition("/")
    if part == "test":
        return _test(config, variant).part("test")
    train = _train(config)
    assert train is not None, "require_split refuses a split of train without train_root"
    return train.part("validation" if split == "validation" else "train")


def _test(config: Config, variant: str) -> Decoded:
    root = expanded(config.root)
    masks = root / MASKS / "val" if variant == "original" else None
    return _opened(root / variant / "val", masks, seed=None, size=config.size, cache=config.cache)


def _train(config: Config) -> Decoded | None:
    if config.train_root is None:
        return None
    return _opened(expanded(config.train_root) / "train", None, seed=config.seed, size=config.size, cache=config.cache)


# A process sees the files in one state, however often it asks; a new state is seen by the next process.
@lru_cache(maxsize=len(VARIANTS) + 1)
def _opened(folder: Path, mask_folder: Path | None, *, seed: int | None, size: int, cache: str) -> Decoded:
    """The images of a folder: as the part `test`, or with a seed as `train` and `validation`."""
    images = _images(folder)
    parts = {"test": images}
    if seed is not None:
        rows = zip(("train", "validation"), held_out_rows(len(images), HELD_OUT, seed), strict=True)
        parts = {part: [images[row] for row in of_part] for part, of_part in rows}
    masks = {file: mask_folder / file.parent.name / f"{file.stem}.npy" for file, _ in images} if mask_folder else {}
    listing = _listing(folder, parts, masks)
    opened = decoded(listing, cache=expanded(cache), size=size)
    if broken := (*opened.left_out, *opened.without_mask):
        raise UserError(f"{broken[0]} cannot be used: unpack the release again")
    return opened


def _images(folder: Path) -> list[Labelled]:
    """The images of the nine class folders, which are identified by the two digits at the start of their names."""
    wanted = ", ".join(f"{number:02d}_{name}" for number, name in enumerate(IMAGENET9))
    there = sorted(entry for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else []
    if [entry.name[:3] for entry in there] != [f"{number:02d}_" for number in range(len(IMAGENET9))]:
        found = ", ".join(entry.name for entry in there) or "no folders"
        raise UserError(f"{folder} must hold the nine folders {wanted}, as in the release; found {found}")
    images = []
    for number, entry in enumerate(there):
        of_class = sorted(file for file in entry.iterdir() if file.suffix.lower() in image_endings())
        if not of_class:
            raise UserError(f"{entry} holds no images")
        images += [(file, number) for file in of_class]
    return images


def _listing(folder: Path, parts: Mapping[str, list[Labelled]], masks: Mapping[Path, Path]) -> Listing:
    everything = [labelled for of_part in parts.values() for labelled in of_part]

    def samples() -> Iterator[Sample]:
        for file, label in everything:
            yield Sample(str(file), file, _mask(masks[file]) if masks else None, label)

    return Listing(
        source=str(folder),
        parts={part: len(of_part) for part, of_part in parts.items()},
        num_classes=len(IMAGENET9),
        masked=bool(masks),
        state=[[str(file), *state_of(file)] for file in (*(file for file, _ in everything), *masks.values())],
        samples=samples,
    )


def _mask(file: Path) -> bytes:
    """A mask of the release, true or 1 in the foreground, as an image file."""
    try:
        mask = np.load(file, allow_pickle=False)
    except Exception as error:  # the parser of a damaged header raises many kinds of errors
        raise UserError(f"{file} is not a readable mask ({named(error)})") from error
    if mask.ndim != 2 or not np.isin(mask, (0, 1)).all():
        raise UserError(f"{file} must hold an array (height, width) of 0 and 1, got {mask.dtype} {mask.shape}")
    content = BytesIO()
    # Uncompressed, so that its hash is the same on every machine.
    Image.fromarray(mask.astype(np.uint8) * 255).save(content, "PPM")
    return content.getvalue()
