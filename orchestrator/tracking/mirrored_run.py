"""One MLflow run made equal to what it shall hold: what is there already is not sent again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.storage.path import Place
from orchestrator.tracking.client import Metric, MlflowClient, Param, RunTag
from orchestrator.tracking.terms import STATUS, TAG_LENGTH, milliseconds

# MLflow's limits.
_PARAMS_PER_CALL = 100
_METRICS_PER_CALL = 1000


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
    ) -> None:
        self.id, self.tags, self.epoch = id, dict(tags), epoch
        self._client, self._commit = client, commit
        self._params, self._metrics = set(params), dict(metrics or {})
        self._files = None if files is None else dict(files)
        self._results: dict[str, bytes] = {}  # by name, what was sent from here

    def send_params(self, wanted: Mapping[str, str]) -> None:
        """Sends the parameters that it lacks; MLflow never changes one."""
        missing = [Param(key, value) for key, value in wanted.items() if key not in self._params]
        for first in range(0, len(missing), _PARAMS_PER_CALL):
            self._client.log_batch(self.id, params=missing[first : first + _PARAMS_PER_CALL])
        self._params.update(wanted)

    def send_points(self, points: Sequence[Points]) -> None:
        """Adds points, as many steps in one call as MLflow takes; each step is there as a whole or not at all.

        Args:
            points: by step; what is up to the last one is there from now on.
        """
        steps = max(1, _METRICS_PER_CALL // max((len(one.metrics) for one in points), default=1))
        for first in range(0, len(points), steps):
            some = points[first : first + steps]
            metrics = [Metric(name, value, one.when, one.step) for one in some for name, value in one.metrics.items()]
            self._client.log_batch(self.id, metrics)
            self.epoch = some[-1].step

    def send_results(self, file: Place, metrics: Mapping[str, int | float], step: int) -> None:
        """Sends a file, if it is not what was last sent from here, and those of its numbers that are not the newest.

        What MLflow has of the file is not asked for: its size does not tell one content from another.
        """
        content = file.read_bytes()
        if self._results.get(file.name) != content:
            self.send_file(file)
            self._results[file.name] = content
        lacking = {name: value for name, value in metrics.items() if self._metrics.get(name) != value}
        if lacking:
            points = [Metric(name, value, milliseconds(file), step) for name, value in lacking.items()]
            self._client.log_batch(self.id, points)
            self._metrics.update(lacking)

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
        changed = {key: value for key, value in tags.items() if self.tags.get(key) != value}
        if changed:
            self._client.log_batch(self.id, tags=[RunTag(key, value) for key, value in changed.items()])
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
        self.send_tags({"state": state} | ({"reason": reason[:TAG_LENGTH]} if reason else {}))

    def note_commit(self) -> None:
        """A sweep continued from another commit says so: its numbers are not of one program."""
        commits = self.tags.get("commits", "").split()
        if self._commit not in commits:
            self.send_tags({"commits": " ".join([*commits, self._commit])})
