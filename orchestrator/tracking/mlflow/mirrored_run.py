"""Synchronizes one MLflow run: sends only what MLflow does not have yet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.storage.place import Place
from orchestrator.tracking.mlflow.client import Metric, MlflowClient, MlflowException, Param, RunTag
from orchestrator.tracking.mlflow.legal import legal_names, legal_text
from orchestrator.tracking.mlflow.terms import STATUS, milliseconds

# MLflow's limits.
_PARAMS_PER_CALL = 100
_METRICS_PER_CALL = 1000
_PARAM_LENGTH = 6000
_PROGRESS = ("epoch", "finished_trials")  # metrics that tell how far the others have been sent


@dataclass(frozen=True)
class Points:
    """Values of metrics at one step.

    Args:
        metrics: values by name.
        when: in milliseconds, derived from the folder, so that MLflow recognizes a point that is sent twice.
        step: epoch or count.
    """

    metrics: Mapping[str, int | float]
    when: int
    step: int


class MirroredRun:
    """One run, with what MLflow is known to have of it.

    Args:
        client: of the store.
        id: of the run.
        commit: of this program.
        tags: the run's tags.
        params: names of the run's parameters.
        metrics: newest value of each of the run's metrics.
        epoch: number of epochs, or of finished trials, whose points the run has.
        files: sizes of the run's files by name; None to query MLflow.
        remarks: receives a sentence for each value that MLflow renames or rejects.
    """

    def __init__(
        self,
        client: MlflowClient,
        id: str,
        *,
        commit: str,
        tags: Mapping[str, str],
        params: Sequence[str] = (),
        metrics: Mapping[str, int | float] | None = None,
        epoch: int = 0,
        files: Mapping[str, int | None] | None = None,
        remarks: dict[str, None] | None = None,
    ) -> None:
        self.id, self.tags, self.epoch = id, dict(tags), epoch
        self._remarks = {} if remarks is None else remarks
        self._client, self._commit = client, commit
        self._params, self._metrics = set(params), dict(metrics or {})
        self._files = None if files is None else dict(files)
        self._results: dict[str, bytes] = {}  # contents sent by this process, by name

    def send_params(self, wanted: Mapping[str, str]) -> None:
        """Send the missing parameters; MLflow never changes one."""
        named = self._named("parameter", wanted)
        missing = [
            Param(name, legal_text(value, _PARAM_LENGTH)) for name, value in named.items() if name not in self._params
        ]
        for first in range(0, len(missing), _PARAMS_PER_CALL):
            self._log(params=missing[first : first + _PARAMS_PER_CALL])
        self._params.update(named)

    def send_points(self, points: Sequence[Points]) -> None:
        """Send points, as many steps per call as MLflow accepts; each step arrives in full or not at all.

        Args:
            points: ordered by step; `epoch` becomes the last one sent.
        """
        steps = max(1, _METRICS_PER_CALL // max((len(one.metrics) for one in points), default=1))
        for first in range(0, len(points), steps):
            some = points[first : first + steps]
            self._log(metrics=[point for one in some for point in self._points(one)])
            self.epoch = some[-1].step

    def send_results(self, file: Place, metrics: Mapping[str, int | float], step: int) -> None:
        """Send a file, unless this process sent the same content last, and those of its metrics that have changed.

        MLflow is not queried for the file: an equal size does not imply equal content.
        """
        content = file.read_bytes()
        if self._results.get(file.name) != content:
            self.send_file(file)
            self._results[file.name] = content
        named = self._named("metric", metrics)
        lacking = {name: value for name, value in named.items() if self._metrics.get(name) != value}
        if lacking:
            self._log(metrics=[Metric(name, value, milliseconds(file), step) for name, value in lacking.items()])
            self._metrics.update(lacking)

    def _points(self, one: Points) -> list[Metric]:
        named = self._named("metric", one.metrics)
        # Progress metrics go last, so that they are never ahead of the others if a batch is split.
        order = sorted(named, key=lambda name: name in _PROGRESS)
        return [Metric(name, named[name], one.when, one.step) for name in order]

    def _named(self, kind: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values by names that MLflow accepts; adds a remark for each changed name."""
        names = legal_names(values)
        for name, legal in names.items():
            if legal != name:
                self._remarks[f"MLflow does not accept the {kind} name {name!a}; it is recorded as {legal}"] = None
        return {names[name]: value for name, value in values.items()}

    def _log(self, **batch: Sequence[Metric | Param | RunTag]) -> None:
        """Send a batch of one kind; if MLflow rejects it, halve it until only the bad values are left out."""
        ((kind, items),) = batch.items()
        try:
            self._client.log_batch(self.id, **batch)  # pyright: ignore[reportArgumentType]
        except MlflowException as error:
            if error.error_code != "INVALID_PARAMETER_VALUE" or not self._is_active():
                raise
            if len(items) == 1:
                reason = " ".join(str(error).split())
                self._remarks[f"MLflow refuses the {kind[:-1]} {items[0].key}, which it does not have: {reason}"] = None
                return
            half = len(items) // 2
            for some in (items[:half], items[half:]):
                self._log(**{kind: some})

    def _is_active(self) -> bool:
        """Whether the run still exists undeleted; MLflow rejects everything sent to a deleted one."""
        return self._client.get_run(self.id).info.lifecycle_stage == "active"

    def send_file(self, file: Place) -> None:
        """Send a file, replacing MLflow's copy."""
        with file.on_disk() as path:
            self._client.log_artifact(self.id, str(path))

    def send_files(self, files: Sequence[Place]) -> None:
        """Send the existing files that MLflow lacks or has in another size."""
        if self._files is None:
            self._files = {item.path: item.file_size for item in self._client.list_artifacts(self.id)}
        for file in files:
            if file.exists() and self._files.get(file.name) != (size := file.size()):
                self.send_file(file)
                self._files[file.name] = size

    def send_tags(self, tags: Mapping[str, str]) -> None:
        """Send the tags that differ."""
        legal = {name: legal_text(value) for name, value in self._named("tag", tags).items()}
        changed = {name: value for name, value in legal.items() if self.tags.get(name) != value}
        if changed:
            self._log(tags=[RunTag(name, value) for name, value in changed.items()])
            self.tags.update(changed)

    def send_state(self, state: str, *, reason: str | None, file: Place) -> None:
        """Set the state of the run.

        Args:
            state: a key of `STATUS`.
            reason: why the run ended in this state.
            file: file whose modification time is the end time.
        """
        if self.tags.get("state") == state:
            return
        if state == "running":
            self._client.update_run(self.id, "RUNNING")
            self.note_commit()
        else:
            ended = milliseconds(file) if file.exists() else None
            self._client.set_terminated(self.id, STATUS[state], ended)
        self.send_tags({"state": state} | ({"reason": reason} if reason else {}))

    def note_commit(self) -> None:
        """Record this commit: a sweep may be continued from another one, and its results then mix versions."""
        commits = self.tags.get("commits", "").split()
        if self._commit not in commits:
            self.send_tags({"commits": " ".join([*commits, self._commit])})
