"""Converts sweeps to MLflow's concepts: statuses, params and tags."""

from collections.abc import Mapping
from typing import Any

import yaml

from orchestrator.config.run import resolve
from orchestrator.core import provenance
from orchestrator.core.registry import find
from orchestrator.core.trial_number import origin_and_place
from orchestrator.records.folder import Record
from orchestrator.storage.place import Place
from orchestrator.tracking.mlflow.legal import TEXT_LENGTH

# MLflow has fewer statuses; the tag `state` is more precise.
STATUS = {
    "running": "RUNNING",
    "finished": "FINISHED",
    "stopped": "KILLED",
    "interrupted": "KILLED",
    "failed": "FAILED",
}


def provenance_tags() -> dict[str, str]:
    """Tags for the versions, commit and device of this process."""
    return {
        "mlflow.source.name": "orchestrator.sweep",
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": provenance.commit() or "unknown",
        "device": provenance.device(),
    } | {f"version.{name}": version for name, version in provenance.versions().items()}


def run_tags(run: Record | None) -> dict[str, str]:
    """Tags for the seed and data of a run; empty for a trial whose settings were rejected."""
    if run is None:
        return {}
    dataset = resolve(run).dataset
    card = find("orchestrator.datasets", dataset.name).card(dataset)
    remarks = {"data_remarks": "; ".join(card.remarks)} if card.remarks else {}
    return {"seed": str(run["seed"]), "data_fingerprint": card.fingerprint, "data_licence": card.licence} | remarks


def repeat_tags(number: int) -> dict[str, str]:
    """A tag with the trial that a repeat retrains with a new seed; empty for a trial of the search."""
    origin, place = origin_and_place(number)
    return {"augsweep.confirm_of": str(origin)} if place else {}


def confirmed_metrics(confirmation: Mapping[str, Any]) -> dict[str, float]:
    """Metrics from `confirm.json`: for each setting, the mean over new seeds and the half-width of its interval."""
    named: dict[str, float] = {}
    for setting in confirmation["settings"]:
        for metric, found in setting["metrics"].items():
            for kind in ("mean", "ci95"):
                if found[kind] is not None:
                    named[f"confirmed/{metric}/trial {setting['trial']}/{kind}"] = found[kind]
    return named


def params(section: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Flatten a nested section to dotted names; lists and other leaves become YAML text."""
    flat: dict[str, str] = {}
    for key, value in section.items():
        if isinstance(value, Mapping) and value:
            flat |= params(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = _text(value)
    return flat


def search_params(search: Mapping[str, Any]) -> dict[str, str]:
    """The dimensions of a search, each in YAML's flow style."""
    return {f"search.{path}": _text(dimension) for path, dimension in search.items()}


def _text(value: Any) -> str:
    if isinstance(value, (str, int, float)):
        return str(value)
    return yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("\n...\n").strip()


def note(text: str) -> str:
    """Format a text as a code block for the description of a run."""
    return f"```\n{text[: TEXT_LENGTH - 10]}\n```"


def milliseconds(file: Place) -> int:
    """Modification time of a file in milliseconds since 1970, MLflow's unit."""
    return file.modified() // 1_000_000
