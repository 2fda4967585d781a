"""One MLflow run made equal to what it should hold; what it already has is not sent again."""

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
_PROGRESS = ("epoch", "finished_trials")  # metrics that say how far the others are known


@dataclass(frozen=True)
class Points:
    """Values of metrics at one step.

    Args:
        metrics: by name.
        when: in milliseconds, made from the folder, so that a point sent twice is one, which MLflow keeps once.
        step: epoch or count.
    """

    metrics: Mapping[str, int | float]
    when: int
    step: int


class MirroredRun:
    """What MLflow is known to hold of one run.

    Args:
        client: of the store.
        id: of the run.
        commit: of this program.
        tags: that it has.
        params: the names of those that it has.
        metrics: their newest values.
        epoch: how many epochs, or finished trials, it has points of.
        files: by name, the sizes of those that it has; None where MLflow has to be asked.
        remarks: gets what MLflow has under another name or refuses, a sentence each.
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
        self._results: dict[str, bytes] = {}  # by name, what was sent from here

    def send_params(self, wanted: Mapping[str, str]) -> None:
        """Sends the parameters that it lacks; MLflow never changes one."""
        named = self._named("parameter", wanted)
        missing = [
            Param(name, legal_text(value, _PARAM_LENGTH)) for name, value in named.items() if name not in self._params
        ]
        for first in range(0, len(missing), _PARAMS_PER_CALL):
            self._log(params=missing[first : first + _PARAMS_PER_CALL])
        self._params.update(named)

    def send_points(self, points: Sequence[Points]) -> None:
        """Adds points, as many steps in one call as MLflow takes; each step is there as a whole or not at all.

        Args:
            points: by step; what is up to the last one is there from now on.
        """
        steps = max(1, _METRICS_PER_CALL // max((len(one.metrics) for one in points), default=1))
        for first in range(0, len(points), steps):
            some = points[first : first + steps]
            self._log(metrics=[point for one in some for point in self._points(one)])
            self.epoch = some[-1].step

    def send_results(self, file: Place, metrics: Mapping[str, int | float], step: int) -> None:
        """Sends a file, if it is not what was last sent from here, and those of its numbers that are not the newest.

        What MLflow has of the file is not asked for: its size does not tell one content from another.
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
        # The progress last: should the others go one by one, it is never ahead of them.
        order = sorted(named, key=lambda name: name in _PROGRESS)
        return [Metric(name, named[name], one.when, one.step) for name in order]

    def _named(self, kind: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values by names that MLflow accepts; which ones it keeps under another name is remarked."""
        names = legal_names(values)
        for name, legal in names.items():
            if legal != name:
                self._remarks[f"MLflow does not accept the {kind} name {name!a}; it is recorded as {legal}"] = None
        return {names[name]: value for name, value in values.items()}

    def _log(self, **batch: Sequence[Metric | Param | RunTag]) -> None:
        """Sends a batch of one kind. Should MLflow refuse it, one bad value is left out, and the others are sent."""
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
        """Sends a file, whatever is there."""
        with file.on_disk() as path:
            self._client.log_artifact(self.id, str(path))

    def send_files(self, files: Sequence[Place]) -> None:
        """Sends those files that exist and are not there in their size."""
        if self._files is None:
            self._files = {item.path: item.file_size for item in self._client.list_artifacts(self.id)}
        for file in files:
            if file.exists() and self._files.get(file.name) != (size := file.size()):
                self.send_file(file)
                self._files[file.name] = size

    def send_tags(self, tags: Mapping[str, str]) -> None:
        """Sends the tags that differ."""
        legal = {name: legal_text(value) for name, value in self._named("tag", tags).items()}
        changed = {name: value for name, value in legal.items() if self.tags.get(name) != value}
        if changed:
            self._log(tags=[RunTag(name, value) for name, value in changed.items()])
            self.tags.update(changed)

    def send_state(self, state: str, *, reason: str | None, file: Place) -> None:
        """Opens or closes the run.

        Args:
            state: a key of `STATUS`.
            reason: why it ended so.
            file: whose time is the end's.
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
        """A sweep continued from another commit says so: its numbers are not of one program."""
        commits = self.tags.get("commits", "").split()
        if self._commit not in commits:
            self.send_tags({"commits": " ".join([*commits, self._commit])})
