"""Which split each file of a data set belongs to, by the names of its folders and of the file, or by a setting."""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from orchestrator.core.errors import UserError, printable
from orchestrator.data.split_words import PARTS, naming

SETTING = "set run.dataset.splits: {train: FOLDER, validation: FOLDER, test: FOLDER}"
ALL_TRAIN = "set run.dataset.splits: none to train on all of them"

Folder = tuple[str, ...]


@dataclass
class Assignment:
    """The files of each part.

    Args:
        parts: files by part, in the order in which they were given; a part without files is missing.
        inner: of the folder of each file its parts without those that name a split or enclose all splits.
        how: what decided, for messages.
        unused: files that belong to no part.
    """

    parts: dict[str, list[str]]
    inner: Mapping[str, Folder]
    how: str
    unused: list[str] = field(default_factory=list)


class _Undecided(Exception):
    """Some names name a split and others none, or one names several."""


def assign(
    files: Sequence[str], *, source: str, classes: bool, patterns: Mapping[str, Sequence[str]] | None = None
) -> Assignment:
    """Divides files into the parts `train`, `validation` and `test`.

    Args:
        files: names below the root, with `/` between their parts.
        source: the root, for messages.
        classes: whether folders may be classes: then the name of a folder stands for a split only if it says nothing
            else, or if all folders name one.
        patterns: by part, from the setting; an empty mapping puts everything into `train`; None lets the names decide.

    Raises:
        UserError: if the names do not decide it, or there is nothing to train on.
    """
    if patterns:
        return _by_patterns(files, source, patterns)
    if patterns is not None:
        return _all_train(files)
    try:
        found = _by_folders(files, classes=classes) or _by_names(files, classes=classes) or _all_train(files)
        _require_one_family(files, found)
    except _Undecided as error:
        raise UserError(f"{source}: cannot tell the splits: {error}; {SETTING}, or {ALL_TRAIN}") from error
    if "train" not in found.parts:
        part, there = next(iter(found.parts.items()))
        raise UserError(
            f"{source}: {printable(there[0])} belongs to {part} by its name, and no file to train; {SETTING}, or "
            f"{ALL_TRAIN}"
        )
    return found


def require_no_empty(folders: Sequence[str], found: Assignment, *, source: str) -> None:
    """Refuse a folder that is named after a split and holds nothing that can be used.

    Args:
        folders: all folders below the root.
        found: as the names of the files decided.
        source: the root, for messages.

    Raises:
        UserError: if there is one.
    """
    for folder in folders:
        says = naming(folder)
        if "/" not in folder and says.whole and says.split is not None and says.split not in found.parts:
            raise UserError(f"{source}/{printable(folder)} holds no images; fill it, remove it, or {SETTING}")


def _all_train(files: Sequence[str]) -> Assignment:
    return Assignment({"train": list(files)}, {_folder(name): _parts(_folder(name)) for name in files}, "")


def _by_patterns(files: Sequence[str], source: str, patterns: Mapping[str, Sequence[str]]) -> Assignment:
    found = Assignment({part: [] for part in PARTS if part in patterns}, {}, "run.dataset.splits")
    inner: dict[str, Folder] = {}
    for name in files:
        matching = [(part, one) for part in found.parts for one in patterns[part] if _matches(name, one)]
        if len({part for part, _ in matching}) > 1:
            both = " and ".join(f"{part}: {pattern}" for part, pattern in matching[:2])
            raise UserError(f"{source}: {printable(name)} matches several of run.dataset.splits: {both}")
        if not matching:
            found.unused.append(name)
            continue
        part, pattern = matching[0]
        found.parts[part].append(name)
        folder = _folder(name)
        inner[folder] = _parts(folder)[len(_literal(pattern)) :]
    for part, of_part in found.parts.items():
        if not of_part:
            raise UserError(f"{source}: run.dataset.splits.{part} = {', '.join(patterns[part])} matches no file")
    if "train" not in found.parts:
        raise UserError("run.dataset.splits must name train, the files to train on")
    found.inner = inner
    return found


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern.rstrip('/')}/*")


def _literal(pattern: str) -> Folder:
    """The folders that a pattern begins with, before the first one with a wildcard."""
    parts = pattern.strip("/").split("/")
    wild = next((place for place, part in enumerate(parts) if any(sign in part for sign in "*?[")), len(parts))
    return tuple(parts[:wild])


def _by_folders(files: Sequence[str], *, classes: bool) -> Assignment | None:
    """By the names of folders; None if none of them stands for a split."""
    folders = [_parts(folder) for folder in dict.fromkeys(map(_folder, files))]
    splits, inner = _by_level(folders, classes=classes) or _by_any_level(folders, classes=classes) or (None, None)
    if splits is None or inner is None:
        return None
    if not classes:
        for name in files:
            own = naming(_stem(name)).split
            if own not in (None, splits[_parts(_folder(name))]):
                raise _Undecided(f"{printable(name)} names {own}, and its folder another one")
    parts = _grouped(files, {name: splits[_parts(_folder(name))] for name in files})
    return Assignment(parts, {"/".join(folder): rest for folder, rest in inner.items()}, "the names of folders")


Decision = tuple[dict[Folder, str], dict[Folder, Folder]]


def _by_level(folders: Sequence[Folder], *, classes: bool) -> Decision | None:
    """The splits that the folders of one level name, if all of them do."""
    levels = {}
    for level in range(min(map(len, folders))):
        named = [_standing(folder[level], classes=classes) for folder in folders]
        if None not in named:
            levels[level] = [split for split in named if split is not None]
    telling = {level: named for level, named in levels.items() if len(set(named)) > 1}
    if not levels:
        return None
    level, named = next(iter((telling or levels).items()))
    for other, also in telling.items():
        if also != named:
            raise _Undecided(f"{_shown(folders[0][: other + 1])} names {also[0]}, and {named[0]}")
    if not telling or not classes:
        _require_no_other(folders, named, skipped=levels, classes=classes)
    used = set(levels) if not telling else set(telling)
    dropped = used | {other for other in _shared_levels(folders) if other < level}
    inner = {folder: tuple(part for place, part in enumerate(folder) if place not in dropped) for folder in folders}
    return dict(zip(folders, named, strict=True)), inner


def _require_no_other(
    folders: Sequence[Folder], named: Sequence[str], *, skipped: Collection[int], classes: bool
) -> None:
    """Refuse folders that name another split than the one that was found for them, at levels that do not tell."""
    ignored = {*skipped, *_shared_levels(folders)}
    for folder, split in zip(folders, named, strict=True):
        for level, part in enumerate(folder):
            other = _standing(part, classes=classes)
            if level not in ignored and other not in (None, split):
                raise _Undecided(f"{_shown(folder)} names both {split} and {other}")


def _by_any_level(folders: Sequence[Folder], *, classes: bool) -> Decision | None:
    """The split that each folder names at whatever level, if all do; folders that also name other things count too."""
    shared = _shared_levels(folders)
    for wholly in (True, False) if classes else (False,):
        named = {folder: _named_by(folder, shared, wholly=wholly) for folder in folders}
        telling = [folder for folder, levels in named.items() if levels]
        if not telling or (not wholly and classes and _harmless(named)):
            continue
        silent = [folder for folder in folders if not named[folder]]
        if silent:
            split = next(iter(named[telling[0]].values()))
            raise _Undecided(f"{_shown(telling[0])} names {split}, and {_shown(silent[0])} no split")
        several = next((folder for folder in folders if len(set(named[folder].values())) > 1), None)
        if several is not None:
            raise _Undecided(f"{_shown(several)} names {' and '.join(sorted(set(named[several].values())))}")
        inner = {
            folder: tuple(part for level, part in enumerate(folder) if level not in named[folder]) for folder in folders
        }
        return {folder: next(iter(named[folder].values())) for folder in folders}, inner
    return None


def _shared_levels(folders: Sequence[Folder]) -> set[int]:
    """The levels at which all folders have the same name, which therefore tells nothing."""
    return {level for level in range(min(map(len, folders))) if len({folder[level] for folder in folders}) == 1}


def _named_by(folder: Folder, shared: Collection[int], *, wholly: bool) -> dict[int, str]:
    """The splits that the parts of a folder name, by level."""
    found = {}
    for level, part in enumerate(folder):
        says = naming(part)
        if not says.splits or level in shared or (wholly and not says.whole):
            continue
        if says.split is None:
            raise _Undecided(f"{_shown(folder[: level + 1])} names {' and '.join(sorted(says.splits))}")
        found[level] = says.split
    return found


def _harmless(named: Mapping[Folder, Mapping[int, str]]) -> bool:
    """Whether all that is named is `train`, as by a class of trains, and not by all folders."""
    return {split for levels in named.values() for split in levels.values()} == {"train"}


def _standing(part: str, *, classes: bool) -> str | None:
    says = naming(part)
    return says.split if says.whole or not classes else None


def _by_names(files: Sequence[str], *, classes: bool) -> Assignment | None:
    """By the names of the files themselves; None if they tell nothing."""
    named: dict[str, str] = {}
    for name in files:
        says = naming(_stem(name))
        if not says.splits or (classes and not says.outer):
            continue
        if says.split is None:
            raise _Undecided(f"{printable(name)} names {' and '.join(sorted(says.splits))}")
        named[name] = says.split
    splits = set(named.values())
    if not named or (classes and (splits == {"train"} or (len(splits) == 1 and len(named) == len(files)))):
        return None  # file names that all name the same split, as ImageNet's do, divide nothing
    silent = next((name for name in files if name not in named), None)
    if silent is not None:
        name, split = next(iter(named.items()))
        raise _Undecided(f"{printable(name)} names {split}, and {printable(silent)} no split")
    folders = {_folder(name): _parts(_folder(name)) for name in files}
    return Assignment(_grouped(files, named), folders, "the names of files")


def _require_one_family(files: Sequence[str], found: Assignment) -> None:
    """Refuse a part whose files are called by two words that may mean two splits, such as dev and eval."""
    if not found.how:
        return
    for part, of_part in found.parts.items():
        seen: dict[str, str] = {}
        for folder, name in {_folder(name): name for name in of_part}.items():
            for piece in (*_parts(folder), _stem(name)) if found.how == "the names of files" else _parts(folder):
                says = naming(piece)
                if says.split == part and says.whole:
                    seen |= {family: name for family in says.families}
        if len(seen) > 1:
            first, second = list(seen.values())[:2]
            raise _Undecided(f"{printable(first)} and {printable(second)} both name {part} by different words")


def _grouped(files: Sequence[str], splits: Mapping[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {part: [] for part in PARTS}
    for name in files:
        found[splits[name]].append(name)
    return {part: of_part for part, of_part in found.items() if of_part}


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _parts(folder: str) -> Folder:
    return tuple(folder.split("/")) if folder else ()


def _stem(name: str) -> str:
    return os.path.splitext(name.rpartition("/")[2])[0]


def _shown(folder: Folder) -> str:
    return printable("/".join(folder)) or "the folder itself"
