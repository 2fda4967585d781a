"""Synchronizes MLflow with a sweep folder: queries what MLflow has and sends what is missing.

Every call can be interrupted at any point and repeated, by this process or a later one: runs are found by their tags,
epochs that MLflow has are not sent again, files are compared by size, result files are sent once per process, and the
final status of a run is sent last.
"""

import json
from collections.abc import Mapping

from orchestrator.records import leaderboard, test_scores
from orchestrator.records.folder import SweepFolder, TrialFolder
from orchestrator.records.leaderboard import Standings
from orchestrator.storage.place import Place
from orchestrator.tracking.mlflow.client import MlflowClient, MlflowException, Run, artifacts_beside, connect
from orchestrator.tracking.mlflow.legal import legal_tags
from orchestrator.tracking.mlflow.mirrored_run import MirroredRun, Points
from orchestrator.tracking.mlflow.terms import (
    confirmed_metrics,
    milliseconds,
    note,
    params,
    provenance_tags,
    repeat_tags,
    run_tags,
    search_params,
)

_PARENT = "parent"


def describe_run(client: MlflowClient, run_id: str) -> dict[str, str] | None:
    """Tags of a run, among them `sweep`, `trial` and `folder` if a mirror made it; None if there is no such run."""
    try:
        tags = client.get_run(run_id).data.tags
        parent = tags.get("mlflow.parentRunId")
        return tags if parent is None else client.get_run(parent).data.tags | tags
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


class Mirror:
    """One sweep in MLflow: an experiment named after the sweep, a parent run for this sweep, a child run per trial.

    Args:
        folder: the sweep's folder, which is authoritative.
        uri: of MLflow's tracking store or server.

    Attributes:
        remarks: a sentence for each value that MLflow renames or rejects.

    Raises:
        Exception: any exception of MLflow, here and in every call; a new mirror then queries MLflow again.
    """

    def __init__(self, folder: SweepFolder, uri: str) -> None:
        self.remarks: dict[str, None] = {}
        self._folder = folder
        self._identity = folder.identity()
        self._provenance = provenance_tags()
        self._commit = self._provenance["mlflow.source.git.commit"]
        self._standings = Standings(folder)
        settings = leaderboard.settings(folder)
        self._wanted = settings["sweep"]
        self._name = self._wanted["name"]  # the folder may have been renamed by `--fresh`
        self._client = connect(uri)
        self._experiment = self._find_experiment(uri)
        self._runs = self._find_runs()
        self._described: set[str] = set()  # runs whose parameters MLflow has
        self._seen: list[TrialFolder] = []  # trials that may have ended since the last update of the standings
        if _PARENT not in self._runs:
            tags = {"folder": str(folder.path)} | run_tags(settings["run"])
            self._runs[_PARENT] = self._start(_PARENT, self._name, folder.file, tags)
        parent = self._runs[_PARENT]
        fixed = {path: value for path, value in params(settings["run"]).items() if path not in settings["search"]}
        parent.send_params(search_params(settings["search"]) | fixed)
        parent.note_commit()
        # Extending a sweep changes its file, possibly without changing its size.
        parent.send_file(folder.file)

    def send_all(self, *, over: bool) -> None:
        """Update the runs of all trials and of the sweep; see `send_trial` and `send_sweep`."""
        for trial in [*self._folder.trials(), *self._folder.repeats()]:
            self.send_trial(trial.number, over=over)
        self.send_sweep(over=over)

    def send_trial(self, number: int, *, over: bool) -> None:
        """Update the run of one trial.

        Args:
            number: of the trial.
            over: whether all trials have ended, so that one without a result was interrupted.
        """
        trial, key = self._folder.trial(number), str(number)
        self._seen.append(trial)
        result = trial.result()
        if key not in self._runs:
            tags = {"mlflow.parentRunId": self._runs[_PARENT].id} | run_tags(trial.config().get("run"))
            self._runs[key] = self._start(key, f"trial {number:04d}", trial.config_file, tags | repeat_tags(number))
        known = self._runs[key]
        if result:
            self._send_scores(known, trial)
        state = result["state"] if result else "interrupted" if over else "running"
        epoch = int(result["epoch"]) if result else trial.last_epoch()
        # The final state is sent last, so a run that has it is complete.
        if known.tags.get("state") == state != "running" and known.epoch == epoch:
            return
        if key not in self._described:
            # A trial whose sampled settings were illegal has no section `run`, only what was `refused`.
            config = trial.config()
            known.send_params(params(config.get("run") or config))
            self._described.add(key)
        when, points = milliseconds(trial.config_file), list[Points]()
        for report in trial.reports():
            when += round(1000 * report["time/epoch"])
            points.append(Points(report, when, int(report["epoch"])))
        known.send_points([one for one in points if one.step > known.epoch])
        files = [trial.config_file, trial.views]  # written atomically; the others are sent once the trial is over
        if result and trial.warnings.exists():
            files.append(trial.warnings)
        if result and trial.encoder_weights.exists():
            files += [trial.encoder_weights, trial.encoder_card]
        known.send_files(files)
        known.send_state(state, reason=(result or {}).get("reason"), file=trial.result_file)

    def send_sweep(self, *, over: bool) -> None:
        """Update the parent run: the best values after each finished trial, the summary, the state.

        Args:
            over: whether all trials have ended.
        """
        parent, now = self._runs[_PARENT], self._standings
        now.update(self._seen)
        self._seen.clear()
        parent.send_points([self._lead(count) for count in range(parent.epoch + 1, len(now.history) + 1)])
        tags = {"trials": str(len(now.trials))}
        leaders = [str(standing.trial.number) for standing in now.history[-1]] if now.history else []
        if leaders and all(leader in self._runs for leader in leaders):  # else the tag follows once all are sent
            kind = "best" if len(now.goals) == 1 else "front"
            tags[f"{kind}_trial"] = " ".join(leaders)
            tags[f"{kind}_run"] = " ".join(self._runs[leader].id for leader in leaders)
        if self._folder.summary.exists():
            tags["mlflow.note.content"] = note(self._folder.summary.read_text(encoding="utf-8"))
        parent.send_tags(tags)
        confirmed = self._send_confirmation(parent)
        complete = len(now.ended) >= self._wanted["trials"]
        if self._wanted.get("confirm"):
            complete = complete and confirmed and over  # while trials run, the file is from an earlier start
        state = "finished" if complete else "interrupted" if over else "running"
        parent.send_state(state, reason=None, file=self._folder.summary)

    def _lead(self, count: int) -> Points:
        """The best values after the first `count` finished trials."""
        front, goals = self._standings.history[count - 1], self._standings.goals
        metrics: dict[str, int | float] = {"finished_trials": count}
        for goal, values in zip(goals, zip(*(standing.values for standing in front), strict=True), strict=True):
            metrics[f"best/{goal.metric}"] = min(values, key=goal.cost)
        return Points(metrics, max(milliseconds(standing.trial.result_file) for standing in front), count)

    def _send_scores(self, known: MirroredRun, trial: TrialFolder) -> None:
        """Send the scores of `orchestrator.evaluate` on held-out data, if there are any."""
        found = test_scores.read_scores(trial.path)
        if found is not None:
            known.send_results(found.file, found.metrics, trial.last_epoch())
            self._runs[_PARENT].send_tags({"test_uses": str(len(test_scores.uses(self._folder.path)))})

    def _send_confirmation(self, parent: MirroredRun) -> bool:
        """Send the confirmation as a file and as metrics per setting; return whether all repeats have ended."""
        file = self._folder.confirmation
        if not file.exists():
            return False
        found = json.loads(file.read_text(encoding="utf-8"))
        parent.send_results(file, confirmed_metrics(found), step=0)
        return found["complete"]

    def _find_experiment(self, uri: str) -> str:
        found = self._client.get_experiment_by_name(self._name)
        if found is None:
            tags = {"mlflow.experimentKind": "custom_model_development"}  # makes the page open on its table of runs
            return self._client.create_experiment(self._name, artifacts_beside(uri), tags)
        if found.lifecycle_stage == "deleted":
            self._client.restore_experiment(found.experiment_id)
        return found.experiment_id

    def _find_runs(self) -> dict[str, MirroredRun]:
        runs: dict[str, MirroredRun] = {}
        page: str | None = None
        while True:
            batch = self._client.search_runs(
                [self._experiment],
                f"tags.sweep = '{self._identity}'",
                order_by=["attributes.start_time ASC"],
                page_token=page,
            )
            for run in batch:
                # If a lost response caused two runs of one trial, every process picks the same one, the oldest.
                runs.setdefault(run.data.tags["trial"], self._known(run))
            page = batch.token
            if not page:
                return runs

    def _known(self, run: Run) -> MirroredRun:
        progress = "finished_trials" if run.data.tags["trial"] == _PARENT else "epoch"
        metrics = dict(run.data.metrics)
        return MirroredRun(
            self._client,
            run.info.run_id,
            commit=self._commit,
            tags=run.data.tags,
            params=list(run.data.params),
            metrics=metrics,
            epoch=int(metrics.get(progress, 0)),
            remarks=self.remarks,
        )

    def _start(self, key: str, name: str, file: Place, tags: Mapping[str, str]) -> MirroredRun:
        tags = legal_tags({"sweep": self._identity, "trial": key, "state": "running"} | self._provenance | dict(tags))
        run = self._client.create_run(self._experiment, start_time=milliseconds(file), tags=tags, run_name=name)
        return MirroredRun(
            self._client, run.info.run_id, commit=self._commit, tags=tags, files={}, remarks=self.remarks
        )
