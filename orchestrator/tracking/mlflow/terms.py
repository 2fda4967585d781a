"""How a sweep is put into MLflow's terms: statuses, params and tags."""

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

# MLflow knows four endings; the tag `state` is more exact.
STATUS = {
    "running": "RUNNING",
    "finished": "FINISHED",
    "stopped": "KILLED",
    "interrupted": "KILLED",
    "failed": "FAILED",
}


def provenance_tags() -> dict[str, str]:
    """Program and machine of this process."""
    return {
        "mlflow.source.name": "orchestrator.sweep",
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": provenance.commit() or "unknown",
        "device": provenance.device(),
    } | {f"version.{name}": version for name, version in provenance.versions().items()}


def run_tags(run: Record | None) -> dict[str, str]:
    """Seed and data of a run; nothing for a trial whose settings turned out to be illegal."""
    if run is None:
        return {}
    dataset = resolve(run).dataset
    card = find("orchestrator.datasets", dataset.name).card(dataset)
    remarks = {"data_remarks": "; ".join(card.remarks)} if card.remarks else {}
    return {"seed": str(run["seed"]), "data_fingerprint": card.fingerprint, "data_licence": card.licence} | remarks


def repeat_tags(number: int) -> dict[str, str]:
    """Which trial another one repeats with a seed of its own; nothing for a trial of the search."""
    origin, place = origin_and_place(number)
    return {"augsweep.confirm_of": str(origin)} if place else {}


def confirmed_metrics(confirmation: Mapping[str, Any]) -> dict[str, float]:
    """What `confirm.json` says of each setting: its mean over new seeds and half the width of its interval."""
    named: dict[str, float] = {}
    for setting in confirmation["settings"]:
        for metric, found in setting["metrics"].items():
            for kind in ("mean", "ci95"):
                if found[kind] is not None:
                    named[f"confirmed/{metric}/trial {setting['trial']}/{kind}"] = found[kind]
    return named


def params(section: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """A nested section as one level of dotted names, lists and other leaves as YAML writes them."""
    flat: dict[str, str] = {}
    for key, value in section.items():
        if isinstance(value, Mapping) and value:
            flat |= params(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = _text(value)
    return flat


def search_params(search: Mapping[str, Any]) -> dict[str, str]:
    """The dimensions of a search, each as its line in the file."""
    return {f"search.{path}": _text(dimension) for path, dimension in search.items()}


def _text(value: Any) -> str:
    if isinstance(value, (str, int, float)):
        return str(value)
    return yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("\n...\n").strip()


def note(text: str) -> str:
    """A text in fixed width, for the description of a run."""
    return f"```\n{text[: TEXT_LENGTH - 10]}\n```"


def milliseconds(file: Place) -> int:
    """When a file was last written, as MLflow counts time."""
    return file.modified() // 1_000_000
