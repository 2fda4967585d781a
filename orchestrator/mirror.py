"""MLflow made equal to a sweep folder: it asks what MLflow has, and sends what it lacks.

Every call may be cut off anywhere and repeated, by this process or a later one: runs are found again by tags, epochs
already there are not sent again, files are compared by size, and a run gets its closing status after everything else.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from orchestrator import provenance, standings
from orchestrator.components import find
from orchestrator.config import resolve
from orchestrator.folder import Record, SweepFolder, TrialFolder
from orchestrator.mlflow_client import Metric, Param, Run, RunTag, artifacts_beside, connect

# MLflow knows four endings; the tag `state` is more exact.
_STATUS = {
    "running": "RUNNING",
    "finished": "FINISHED",
    "stopped": "KILLED",
    "interrupted": "KILLED",
    "failed": "FAILED",
}
_PARAMS_PER_CALL = 100  # MLflow's limit
_TAG_LENGTH = 5000  # idem
_PARENT = "parent"
# Files that are whole as soon as they exist, and those that are sure to be only once the trial is over.
_EARLY_FILES = ("config.yaml", "views.png")
_LATE_FILES = ("encoder.safetensors", "encoder.json", "test.json")


@dataclass
class _Known:
    """What MLflow is known to hold of one run."""

    id: str
    tags: dict[str, str]
    params: set[str]
    epoch: int = 0
    files: dict[str, int | None] = field(default_factory=dict)


class Mirror:
    """One sweep in MLflow: an experiment of the sweep's name, a parent run for this very sweep, a child run per trial.

    Args:
        folder: the truth.
        uri: of MLflow's tracking store or server.

    Raises:
        Exception: whatever MLflow raises, here and in every call; make a new mirror then, which asks MLflow again.
    """

    def __init__(self, folder: SweepFolder, uri: str) -> None:
        self._folder = folder
        self._identity = folder.identity()
        self._provenance = _provenance_tags()
        self._client = connect(uri)
        self._experiment = self._find_experiment(uri)
        self._runs = self._find_runs()
        settings = standings.settings(folder)
        if _PARENT not in self._runs:
            tags = {"folder": str(folder.path)} | _run_tags(settings["run"])
            self._runs[_PARENT] = self._start(_PARENT, folder.name, folder.file, tags)
        parent = self._runs[_PARENT]
        searched = {f"search.{path}": _text(dimension) for path, dimension in settings["search"].items()}
        self._send_params(parent, searched | _flat(settings["run"]))
        self._note_commit(parent)
        # A sweep may be extended, so its file may change, also at the same length.
        self._client.log_artifact(parent.id, str(folder.file))

    def run_ids(self) -> dict[int, str]:
        """The MLflow run of each trial that has one, by the trial's number."""
        return {int(key): known.id for key, known in self._runs.items() if key != _PARENT}

    def send_trial(self, number: int, *, over: bool) -> None:
        """Brings one trial's run up to date.

        Args:
            number: of the trial.
            over: whether no trial is running any more, so that one without a result was interrupted.
        """
        trial = self._folder.trial(number)
        config, result = trial.config(), trial.result()
        if config is None:
            return
        key = str(number)
        if key not in self._runs:
            tags = {"mlflow.parentRunId": self._runs[_PARENT].id} | _run_tags(config.get("run"))
            self._runs[key] = self._start(key, f"trial {number:04d}", trial.config_file, tags)
        known = self._runs[key]
        state = result["state"] if result else "interrupted" if over else "running"
        # The closing state is the last thing sent, so where it stands nothing is missing.
        if known.tags.get("state") == state != "running" and known.epoch == trial.last_epoch():
            return
        # A trial whose drawn settings turned out to be illegal has no run, only what was `refused`.
        self._send_params(known, _flat(config.get("run") or config))
        self._send_reports(known, trial)
        self._send_files(known, trial.path, _EARLY_FILES + (_LATE_FILES if result else ()))
        self._send_state(known, state, reason=(result or {}).get("reason"), file=trial.result_file)

    def send_sweep(self, *, over: bool) -> None:
        """Brings the parent run up to date: the best after each finished trial, the closing text, the state.

        Args:
            over: whether no trial is running any more.
        """
        parent = self._runs[_PARENT]
        metric, _ = standings.goal(self._folder)
        led = standings.leaders(self._folder)
        for count, standing in enumerate(led[parent.epoch :], start=parent.epoch + 1):
            when = _milliseconds(standing.trial.result_file)
            metrics = {f"best/{metric}": standing.value, "finished_trials": count}
            self._client.log_batch(parent.id, [Metric(name, value, when, count) for name, value in metrics.items()])
            parent.epoch = count
        trials = self._folder.trials()
        tags = {"trials": str(len(trials))}
        if led:
            best = led[-1].trial
            tags |= {"best_trial": str(best.number), "best_run": self._runs[str(best.number)].id}
        if self._folder.summary.exists():
            tags["mlflow.note.content"] = _block(self._folder.summary.read_text(encoding="utf-8"))
        self._send_tags(parent, tags)
        wanted = standings.settings(self._folder)["sweep"]["trials"]
        complete = sum(trial.result() is not None for trial in trials) >= wanted
        state = "finished" if complete else "interrupted" if over else "running"
        self._send_state(parent, state, reason=None, file=self._folder.summary)

    def _find_experiment(self, uri: str) -> str:
        found = self._client.get_experiment_by_name(self._folder.name)
        if found is None:
            tags = {"mlflow.experimentKind": "custom_model_development"}  # what opens the page on its table of runs
            return self._client.create_experiment(self._folder.name, artifacts_beside(uri), tags)
        if found.lifecycle_stage == "deleted":
            self._client.restore_experiment(found.experiment_id)
        return found.experiment_id

    def _find_runs(self) -> dict[str, _Known]:
        runs: dict[str, _Known] = {}
        page: str | None = None
        while True:
            batch = self._client.search_runs(
                [self._experiment],
                f"tags.sweep = '{self._identity}'",
                order_by=["attributes.start_time ASC"],
                page_token=page,
            )
            for run in batch:
                # Had a lost answer ever made two runs of one trial, every process would still choose the same one.
                runs.setdefault(run.data.tags["trial"], self._known(run))
            page = batch.token
            if not page:
                return runs

    def _known(self, run: Run) -> _Known:
        progress = "finished_trials" if run.data.tags["trial"] == _PARENT else "epoch"
        files = {item.path: item.file_size for item in self._client.list_artifacts(run.info.run_id)}
        known = _Known(run.info.run_id, dict(run.data.tags), set(run.data.params), files=files)
        known.epoch = int(run.data.metrics.get(progress, 0))
        return known

    def _start(self, key: str, name: str, file: Path, tags: Mapping[str, str]) -> _Known:
        tags = {"sweep": self._identity, "trial": key, "state": "running"} | self._provenance | dict(tags)
        run = self._client.create_run(self._experiment, start_time=_milliseconds(file), tags=tags, run_name=name)
        return _Known(run.info.run_id, tags, set())

    def _send_params(self, known: _Known, params: Mapping[str, str]) -> None:
        missing = [Param(key, value) for key, value in params.items() if key not in known.params]
        for first in range(0, len(missing), _PARAMS_PER_CALL):
            self._client.log_batch(known.id, params=missing[first : first + _PARAMS_PER_CALL])
        known.params.update(params)

    def _send_reports(self, known: _Known, trial: TrialFolder) -> None:
        for report in trial.reports():
            epoch = int(report["epoch"])
            if epoch <= known.epoch:
                continue
            when = _reported(report)
            self._client.log_batch(known.id, [Metric(name, value, when, epoch) for name, value in report.items()])
            known.epoch = epoch

    def _send_files(self, known: _Known, folder: Path, names: tuple[str, ...]) -> None:
        for name in names:
            file = folder / name
            if file.exists() and known.files.get(name) != (size := file.stat().st_size):
                self._client.log_artifact(known.id, str(file))
                known.files[name] = size

    def _send_tags(self, known: _Known, tags: Mapping[str, str]) -> None:
        changed = {key: value for key, value in tags.items() if known.tags.get(key) != value}
        if changed:
            self._client.log_batch(known.id, tags=[RunTag(key, value) for key, value in changed.items()])
            known.tags.update(changed)

    def _send_state(self, known: _Known, state: str, *, reason: str | None, file: Path) -> None:
        if known.tags.get("state") == state:
            return
        if state == "running":
            self._client.update_run(known.id, "RUNNING")
            self._note_commit(known)
        else:
            ended = _milliseconds(file) if file.exists() else None
            self._client.set_terminated(known.id, _STATUS[state], ended)
        self._send_tags(known, {"state": state} | ({"reason": reason[:_TAG_LENGTH]} if reason else {}))

    def _note_commit(self, known: _Known) -> None:
        """A sweep continued from another commit says so: its numbers are not of one program."""
        commit = self._provenance["mlflow.source.git.commit"]
        commits = known.tags.get("commits", "").split()
        if commit not in commits:
            self._send_tags(known, {"commits": " ".join([*commits, commit])})


def _provenance_tags() -> dict[str, str]:
    return {
        "mlflow.source.name": "orchestrator.sweep",
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": provenance.commit() or "unknown",
        "device": provenance.device(),
    } | {f"version.{name}": version for name, version in provenance.versions().items()}


def _run_tags(run: Record | None) -> dict[str, str]:
    if run is None:
        return {}
    dataset = resolve(run).dataset
    card = find("orchestrator.datasets", dataset.name).card(dataset)
    return {"seed": str(run["seed"]), "data_fingerprint": card.fingerprint, "data_licence": card.licence}


def _flat(section: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """A nested section as one level of dotted names, lists and other leaves as YAML writes them."""
    params: dict[str, str] = {}
    for key, value in section.items():
        if isinstance(value, Mapping) and value:
            params |= _flat(value, f"{prefix}{key}.")
        else:
            params[f"{prefix}{key}"] = _text(value)
    return params


def _text(value: Any) -> str:
    if isinstance(value, (str, int, float)):
        return str(value)
    return yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("\n...\n").strip()


def _block(text: str) -> str:
    return f"```\n{text[: _TAG_LENGTH - 10]}\n```"


def _reported(report: Record) -> int:
    """When a report was made; the same each time it is sent, so that MLflow itself refuses a point that it has."""
    return int(1000 * report.get("time/reported", time.time()))


def _milliseconds(file: Path) -> int:
    return file.stat().st_mtime_ns // 1_000_000
