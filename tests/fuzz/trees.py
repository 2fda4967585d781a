"""Folders of images for `image_folder`: every sound image is used or counted, and no test image is trained on."""

import os
import re
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

from orchestrator.core.errors import UserError
from orchestrator.data import own_images
from orchestrator.data.assignment import assign
from orchestrator.data.file_tree import walk
from orchestrator.data.split_words import naming
from orchestrator.datasets import image_folder
from tests.fuzz.limits import require_one_line
from tests.fuzz.pictures import damaged_images, sound_images

_SPLITS = "train Train TRAINING train_0 val VALID dev eval test Testing trainval test_tube bullet_train"
_CLASSES = "cat dog Dog part_0 masks Masks images extra @eaDir .hidden __MACOSX 0 1 ä"
FOLDERS = st.sampled_from([*f"{_SPLITS} {_CLASSES}".split(), "a\nb", "a\udcff"])
NAMES = st.sampled_from(["0", "1", "2", "3", "train_0", "test_1", "val", "a.b", "x\ny", "\udcfe", "._1", "photo"])
OTHERS = st.sampled_from(["txt", "json", "", "heic", "mp4", "DS_Store", "eps", "pdf"])
TARGETS = st.sampled_from([".", "..", "../..", "cat", "train", "../test", "/tmp/nowhere", "loop", "../masks"])


@dataclass(frozen=True)
class Entry:
    """Something in a folder: of which kind, its name, and what it holds or where it leads."""

    kind: str
    name: str
    content: bytes | str = b""


SOUND = st.builds(lambda name, made: Entry("sound", f"{name}.{made[0]}", made[1]), NAMES, sound_images())
DAMAGED = st.builds(lambda name, made: Entry("damaged", f"{name}.{made[0]}", made[1]), NAMES, damaged_images())
LEAVES = st.one_of(
    SOUND,
    SOUND,
    SOUND,
    DAMAGED,
    st.builds(lambda name, ending: Entry("other", f"{name}.{ending}", b"text"), NAMES, OTHERS),
    st.builds(lambda name, target: Entry("link", name, target), FOLDERS, TARGETS),
    st.builds(lambda name: Entry("pipe", f"{name}.png"), NAMES),
    st.builds(lambda name: Entry("folder", name), FOLDERS),
)
PLACES = st.lists(FOLDERS, max_size=3).map("/".join)
SETTINGS = st.fixed_dictionaries(
    {
        "labels": st.sampled_from(["folders", "folders", "none"]),
        "splits": st.sampled_from(["auto", "auto", "auto", "none", {"train": ["train", "cat"], "test": ["test*"]}]),
    }
)
INPUTS = st.tuples(st.lists(st.tuples(PLACES, LEAVES), min_size=1, max_size=14), SETTINGS)


def check(one: tuple[list[tuple[str, Entry]], dict]) -> None:
    """Tries one folder with some settings."""
    entries, settings = one
    with tempfile.TemporaryDirectory(prefix="augsweep-fuzz-") as place:
        root = Path(place) / "root"
        root.mkdir()
        sound = _written(root, entries)
        config = image_folder.Config(
            root=str(root), cache=f"{place}/cache", size=8, max_bad_share=0.99, validation_share=0.3, **settings
        )
        own_images._opened.cache_clear()
        try:
            card = image_folder.card(config)
            loaded = {split: image_folder.load(config, split) for split in card.splits}
        except UserError as error:
            require_one_line(error)
            return
        assert card.train_size == len(loaded["train"])
        assert (card.num_classes is None) == (loaded["train"].labels is None)
        _check_counts(root, config, sound)


def _written(root: Path, entries: list[tuple[str, Entry]]) -> set[str]:
    """Writes what can be written, and returns the sound images that no link or hidden name leads to."""
    sound = set()
    for place, entry in entries:
        folder = root / place
        with suppress(OSError):  # where a file or a link is in the way
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / entry.name
            if path.exists() or path.is_symlink():
                continue
            if entry.kind == "link":
                path.symlink_to(str(entry.content))
            elif entry.kind == "pipe":
                os.mkfifo(path)
            elif entry.kind == "folder":
                path.mkdir()
            else:
                assert isinstance(entry.content, bytes)
                path.write_bytes(entry.content)
                if entry.kind == "sound":
                    sound.add(os.path.relpath(os.path.realpath(path), os.path.realpath(root)))
    return sound


def _check_counts(root: Path, config: image_folder.Config, sound: set[str]) -> None:
    tree = walk(root)
    known = [os.path.realpath(root / name) for name in tree.files]
    assert len(known) == len(set(known)) or any((root / name).is_symlink() for name in tree.files)
    listing = image_folder.Folder(config.labels == "folders", config.patterns)(root)
    samples = list(listing.samples())
    masks = {sample.mask for sample in samples if sample.mask is not None}
    counts = [re.findall(r"(?:: |, )(\d+) \D", note) for note in listing.notes if note.startswith("ignored: ")]
    ignored = sum(int(count) for of_note in counts for count in of_note)
    found = walk(root)
    assert len(samples) + len(masks) + ignored >= len(found.files), "a file is neither used nor counted"
    used = {os.path.relpath(os.path.realpath(sample.image), os.path.realpath(root)) for sample in samples}
    visible = {name for name in sound if not any(part.startswith((".", "@", "__")) for part in name.split("/"))}
    visible -= {name for name in visible if name.split("/")[0].lower() == "masks" or name.startswith("..")}
    if config.splits in ("auto", "none"):
        assert visible <= used, f"not used: {sorted(visible - used)}"
    opened = own_images.OwnImages(image_folder.Folder(config.labels == "folders", config.patterns)).opened(config)
    lost = [name for name in opened.left_out if name.partition(" (")[0] in visible]
    assert not lost, f"sound images left out: {lost}"
    if config.splits == "auto":
        names = [os.path.relpath(sample.image, root) for sample in samples]
        train = assign(names, source="", classes=True).parts["train"]
        _check_train(train, names)


def _check_train(train: list[str], names: list[str]) -> None:
    """No image is trained on whose folders name another split and not `train`, unless all do."""
    folders = [set(name.split("/")[:-1]) for name in names]
    shared = set.intersection(*folders)
    for name in train:
        whole = {naming(part).split for part in name.split("/")[:-1] if naming(part).whole and part not in shared}
        assert whole <= {None} or "train" in whole, f"{name} is trained on"
