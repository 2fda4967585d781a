"""A study file of a second's work, and its variations, for tests of what reads files."""

import copy
from pathlib import Path
from typing import Any

import yaml

STUDY: dict[str, Any] = {
    "sweep": {"trials": 3, "metric": "val_knn/1"},
    "run": {
        "dataset": {"name": "synthetic", "size": 16, "train_size": 64, "validation_size": 32},
        "augment": {"recipes": {"weak": {"crop": {}, "flip": {}}, "aggressive": {"color_jitter": {}, "grayscale": {}}}},
        "method": {"name": "simclr", "projector_hidden": 16, "projector_outputs": 8},
        "addons": {"msr": {"base_weight": 0.3, "schedule": "cosine"}},
        "encoder": {"name": "resnet", "depth": 8, "width": 0.25},
        "optimizer": {"lr": 0.1},
        "training": {"epochs": 3, "batch_size": 16},
        "evaluation": {"knn": {"every": 1}, "linear": {}},
    },
    "search": {"addons.msr.base_weight": {"uniform": [0.0, 0.6]}},
}


def with_changes(
    changes: dict[str, Any] | None = None, *, search: dict[str, Any] | None = None, of: dict[str, Any] = STUDY
) -> dict[str, Any]:
    """A study with other values at some paths (keys without dots) from the root, and perhaps another search."""
    study = copy.deepcopy(of)
    for path, value in (changes or {}).items():
        *way, last = path.split(".")
        place = study
        for key in way:
            place = place.setdefault(key, {})
        place[last] = value
    if search is not None:
        study["search"] = search
    return study


def write_study(folder: Path, study: dict[str, Any]) -> Path:
    """The study as a file."""
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
    return path


def read_study(path: Path) -> dict[str, Any]:
    """A study out of a file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))
