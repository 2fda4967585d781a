"""Which split the name of a file or folder stands for: `train-00000-of-00002`, `Testing`, `val2017`, `dev`, ..."""

import re
from dataclasses import dataclass
from functools import cache

PARTS = ("train", "validation", "test")

# By split, families of words: two families of one split in one data set, such as dev and eval, may mean two splits.
_FAMILIES = {
    "train": (("train", "training", "trainings", "trn"),),
    "validation": (
        ("val", "vali", "valid", "validate", "validation", "vld"),
        ("dev", "devel", "develop", "development"),
        ("eval", "evaluate", "evaluation"),
    ),
    "test": (("test", "tests", "testing", "tst"),),
}
_WORDS = {word: (split, family[0]) for split, families in _FAMILIES.items() for family in families for word in family}
# Words that may accompany the word of a split without giving the name another meaning.
_COLLECTIONS = "set sets data dataset datasets split splits part parts shard shards chunk chunks batch batches fold"
_CONTENTS = "image images img imgs picture pictures photo photos file files folder sample samples parquet jpg jpeg png"
_NEUTRAL = frozenset(f"{_COLLECTIONS} {_CONTENTS} a b x y of all full partial subset".split())
_ENDINGS = ("datasets", "dataset", "images", "image", "split", "data", "sets", "set", "imgs", "img", "files")
_LETTERS = re.compile(r"[^\W\d_]+")
_CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


@dataclass(frozen=True)
class Naming:
    """What a name says of a split.

    Args:
        splits: that it names.
        families: of the words by which it names them.
        whole: whether it says nothing else, numbers aside.
        outer: whether its first or last word names the split.
    """

    splits: frozenset[str]
    families: frozenset[str]
    whole: bool
    outer: bool

    @property
    def split(self) -> str | None:
        """The split, if it names exactly one."""
        return next(iter(self.splits)) if len(self.splits) == 1 else None


@cache
def naming(name: str) -> Naming:
    """What the name of one folder, or of one file without its ending, says of a split.

    Args:
        name: without slashes; upper and lower case are the same.
    """
    runs = _LETTERS.findall(name)
    found = [_meaning(run) for run in runs]
    named = [meaning for meaning in found if meaning is not None]
    others = [run.lower() for run, meaning in zip(runs, found, strict=True) if meaning is None]
    return Naming(
        splits=frozenset(split for split, _ in named),
        families=frozenset(family for _, family in named),
        whole=bool(named) and all(word in _NEUTRAL for word in others),
        outer=bool(found) and (found[0] is not None or found[-1] is not None),
    )


def _meaning(run: str) -> tuple[str, str] | None:
    """The split that a run of letters names, alone (`test`), with an ending (`testset`) or in camel case (`TestA`)."""
    lower = run.lower()
    if lower in _WORDS:
        return _WORDS[lower]
    for ending in _ENDINGS:
        if lower.endswith(ending) and lower.removesuffix(ending) in _WORDS:
            return _WORDS[lower.removesuffix(ending)]
    pieces = [piece.lower() for piece in _CAMEL.findall(run)]
    named = [_WORDS[piece] for piece in pieces if piece in _WORDS]
    if len(pieces) > 1 and len(named) == 1 and all(piece in _NEUTRAL or piece in _WORDS for piece in pieces):
        return named[0]
    return None
