"""Which settings may change when the same command continues a sweep, and which may not."""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from itertools import zip_longest
from typing import Any

from orchestrator.config import yaml_file
from orchestrator.config.mistakes import ConfigError, show
from orchestrator.config.paths import flatten
from orchestrator.config.run import resolve
from orchestrator.config.sweep import read_sweep
from orchestrator.core import provenance
from orchestrator.core.errors import UserError
from orchestrator.records import leaderboard
from orchestrator.records.folder import SweepFolder
from orchestrator.study.study_file import Study

# How long and where to search, and what to keep; all other fields decide which trials run and what they compute.
EXTENDABLE = frozenset(
    f"sweep.{field}"
    for field in (
        "trials",
        "time_limit",
        "executor",
        "tracker",
        "concurrency",
        "workers",
        "cpus_per_worker",
        "gpus_per_worker",
        "max_failures",
        "keep",
        "confirm",
    )
)
# What the settings of a sweep mean, noted in its folder. 2: AugSelf's weights over SwAV are halved, as in its code.
FORMAT = 2
_BEFORE = 16  # characters that are shown before the first one that differs
_IN_ORDER = re.compile(r"search|run\.addons|run\.augment\.recipes\.[^.]+").fullmatch


def enter(folder: SweepFolder, study: Study) -> list[str]:
    """Starts the sweep in its folder, or continues the existing one.

    Args:
        folder: locked by the caller.
        study: what the user asks for now.

    Returns:
        Warnings, one sentence each.

    Raises:
        UserError: the existing sweep has other settings, which the message lists.
    """
    if folder.exists():
        _check_same(folder, study)
    else:
        folder.format_file.write(f"{FORMAT}\n")
    folder.file.write(yaml_file.write(study.dump()))
    return _log_commit(folder)


def changed_data(folder: SweepFolder, fingerprint: str) -> str | None:
    """Whether the files behind a data set have changed since trials were first trained on them; None if not.

    The sweep's file names only a path, and the files there may change. A sweep started before fingerprints were
    recorded counts as started on the current data.

    Args:
        folder: locked by the caller; keeps the fingerprint.
        fingerprint: of the current data.

    Returns:
        A sentence that says so and what to do.
    """
    if not folder.data.exists():
        folder.data.write(f"{fingerprint}\n")
    begun = folder.data.read_text(encoding="utf-8").strip()
    if begun == fingerprint:
        return None
    return (
        f"{folder.path}: a sweep can be continued only on the images it was begun on, and run.dataset has others now "
        f"(fingerprint {begun} in the folder, {fingerprint} now); bring them back, choose another sweep.name, or start "
        "over with --fresh (the old one is moved aside)"
    )


def changed_meaning(folder: SweepFolder, study: Study) -> str | None:
    """Why new trials would not be comparable with those in the folder, although no setting differs.

    Args:
        folder: locked by the caller.
        study: the same as the one in the folder.

    Returns:
        A sentence with what to do; None if all trials are comparable.
    """
    methods = f"{study.run.method.name} {study.dump()['search'].get('method.name', '')}"
    if folder.format() >= FORMAT or "swav" not in methods or "augself" not in study.run.addons:
        return None
    return (
        f"{folder.path}: run.addons.augself over swav has half the effect of the version that began this sweep (as in "
        "AugSelf's own code), so its trials would not compare; choose another sweep.name, or start over with --fresh "
        "(the old one is kept), and double the weights to train as before"
    )


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """One line for each field that differs between two files, and for each section whose order matters and differs."""
    before, after = _leaves(old), _leaves(new)
    paths = [*before, *(path for path in after if path not in before)]
    lines = [
        "{}: {} in the folder, {} now".format(path, *_told(before, after, path))
        for path in paths
        if _exact(before, path) != _exact(after, path)
    ]
    were, are = _orders(old), _orders(new)
    return lines + [
        f"{path}: the order {', '.join(were[path])} in the folder, {', '.join(are[path])} now"
        for path in were
        if path in are and were[path] != are[path] and set(were[path]) == set(are[path])
    ]


def _check_same(folder: SweepFolder, study: Study) -> None:
    old = leaderboard.settings(folder)
    old["sweep"] = read_sweep(old["sweep"]).dump()  # in today's names, with the defaults of fields added since
    with suppress(ConfigError):  # a run that this version cannot read is compared as written
        old["run"] = resolve(old["run"]).dump()
    changed = [line for line in differences(old, study.dump()) if not _extendable(line.partition(":")[0])]
    if changed:
        listed = "\n".join(f"  {line}" for line in changed)
        raise UserError(
            f"{folder.path}: only a sweep with the same settings can be continued, and these differ:\n{listed}\n"
            "  change it back, choose another sweep.name, or start over with --fresh (the old one is moved aside)"
        )


def _extendable(path: str) -> bool:
    return any(f"{path}.".startswith(f"{field}.") for field in EXTENDABLE)


def _log_commit(folder: SweepFolder) -> list[str]:
    """Adds this source's commit to the folder's log where it is not the last entry, and warns of the change."""
    commit = provenance.commit() or "unknown"
    file = folder.path / "commits.txt"
    logged = file.read_text(encoding="utf-8") if file.exists() else ""
    last = logged.split()[-1] if logged else commit
    if not logged or last != commit:
        file.write(f"{logged}{datetime.now().astimezone():%Y-%m-%dT%H:%M:%S%z} {commit}\n")
    if last == commit:
        return []
    return [
        f"this sweep last ran at git commit {last[:12]} and goes on at {commit[:12]}; its trials may differ by more"
    ]


def _leaves(tree: Mapping[str, Any]) -> dict[str, object]:
    return {path: value for path, value in flatten(tree).items() if not (isinstance(value, dict | list) and value)}


def _orders(tree: Mapping[str, Any]) -> dict[str, list[str]]:
    """The keys of each section in which order matters: what is applied or drawn first."""
    return {path: list(value) for path, value in flatten(tree).items() if isinstance(value, dict) and _IN_ORDER(path)}


def _exact(leaves: Mapping[str, object], path: str) -> str:
    """An unambiguous text of a leaf; empty if it is absent."""
    return json.dumps(leaves[path], default=str, ensure_ascii=False) if path in leaves else ""


def _told(before: Mapping[str, object], after: Mapping[str, object], path: str) -> list[str]:
    """Two differing leaves as a message shows them, starting near the difference if it would be cut off."""
    texts = [show(leaves[path]) if path in leaves else "nothing" for leaves in (before, after)]
    if texts[0] != texts[1]:
        return texts
    exact = [_exact(leaves, path) for leaves in (before, after)]
    first = next(place for place, pair in enumerate(zip_longest(*exact)) if pair[0] != pair[1]) - _BEFORE
    return [show(f"...{text[first:]}" if first > 0 else text) for text in exact]
