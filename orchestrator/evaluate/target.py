"""The encoder to evaluate, the data it was trained on, and where its scores are stored."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.config.run import RunConfig, resolve
from orchestrator.core.errors import UserError
from orchestrator.core.registry import find
from orchestrator.evaluate import third_party, weights
from orchestrator.probing.frozen import FrozenEncoder, at_rest
from orchestrator.records.folder import CONFIG, ENCODER_CARD, ENCODER_WEIGHTS, SweepFolder, TrialFolder
from orchestrator.records.leaderboard import Standings
from orchestrator.records.test_scores import Shelf
from orchestrator.storage.path import on_disk, parse
from orchestrator.storage.place import Place
from orchestrator.tracking.mlflow.tracker import find_run
from orchestrator.training import assembly, export
from orchestrator.training.export import Exported

EVALUATIONS = "evaluations"  # in the storage: scores of encoders that were not trained by a sweep there
_CHECKPOINT = re.compile(r"checkpoint-\d+\.pt")
_ENCODER = "method.encoder."  # prefix of the encoder's weights in a checkpoint


@dataclass(frozen=True)
class Subject:
    """An encoder and what is known about its training.

    Args:
        encoder: frozen, on the device that it is measured on.
        own: the section of the data set that it was trained on, or None if unknown.
        trained_on: fingerprint of those data, or None.
        threads: CPU threads, as in its training.
        shelf: where its scores are stored.
        trial: that trained it, if it belongs to a sweep in the storage.
    """

    encoder: FrozenEncoder
    own: Mapping[str, Any] | None
    trained_on: str | None
    threads: int
    shelf: Shelf
    trial: TrialFolder | None = None


def subject(name: str, storage: Place, uri: str, *, size: int | None = None, threads: int = 1) -> Subject:
    """The encoder that a name refers to.

    Args:
        name: a trial's folder; a sweep's name or folder, for its best trial; an MLflow run id of either; a checkpoint
            in a trial's folder; the folder or the weights of an exported encoder; `torchvision:MODEL`, or a function,
            see `published`.
        storage: the folder of sweeps.
        uri: of MLflow, used only for run ids.
        size: of the images in pixels, if the encoder does not define it.
        threads: CPU threads, if no trial defines them.

    Raises:
        UserError: if there is no such encoder, or it cannot be loaded.
    """
    if third_party.is_published(name):
        encoder = third_party.load(name, size)
        return Subject(encoder, None, None, threads, _shelf(storage, name, encoder))
    given = parse(name)
    if _CHECKPOINT.fullmatch(given.name):
        return _of_checkpoint(given)
    folder = given.parent if given.name == ENCODER_WEIGHTS else given
    if (folder / ENCODER_CARD).exists() and not (folder / CONFIG).exists():
        exported = export.read(folder)
        encoder = _frozen(name, exported)
        run = exported.card["run"]
        shelf, there = _shelf(storage, name, encoder), exported.card["data"]["fingerprint"]
        return Subject(encoder, run["dataset"], there, run["training"]["threads"], shelf)
    trial = locate(str(folder) if folder is not given else name, storage, uri)
    run, exported = _run(trial), export.read(trial.path)
    encoder = _frozen(_named(trial), exported)
    shelf = Shelf(trial.path, sweep_of(trial).path, trial.path.scratch() / "features")
    there = exported.card["data"]["fingerprint"]
    return Subject(encoder, run.dump()["dataset"], there, run.training.threads, shelf, trial)


def _of_checkpoint(file: Place) -> Subject:
    """The encoder of an unfinished or stopped training; its scores are not the trial's."""
    if not file.parent.name.isdecimal() or not (file.parent / CONFIG).exists():
        raise UserError(f"{file}: a checkpoint must be in the folder of its trial, next to {CONFIG}")
    trial = TrialFolder(file.parent)
    run = _run(trial)
    network = assembly.encoder(run)
    with on_disk(str(file)) as path:
        weights.fill(network, path, prefix=_ENCODER)
    card = find("orchestrator.datasets", run.dataset.name).card(run.dataset)
    encoder = FrozenEncoder(f"{_named(trial)}, {file.name}", at_rest(network), card.size, card.mean, card.std)
    folder = trial.path / EVALUATIONS / file.name.removesuffix(".pt")
    shelf = Shelf(folder, sweep_of(trial).path, trial.path.scratch() / "features")
    return Subject(encoder, run.dump()["dataset"], card.fingerprint, run.training.threads, shelf)


def _run(trial: TrialFolder) -> RunConfig:
    config = trial.config()
    if not config or "run" not in config:
        raise UserError(f"{trial.path}: this trial was never started; evaluate a finished one")
    return resolve(config["run"])


def _named(trial: TrialFolder) -> str:
    return f"{sweep_of(trial).name}, trial {trial.number}"


def locate(name: str, storage: Place, uri: str) -> TrialFolder:
    """The trial that a name refers to.

    Args:
        name: the folder of a trial; the name or folder of a sweep, for its best trial; or an MLflow run id of either.
        storage: the folder of sweeps.
        uri: of MLflow, used only for run ids.

    Raises:
        UserError: if there is no such trial here, or the sweep has no finished one.
    """
    given = parse(name)
    if given.name.isdecimal() and (given / CONFIG).exists():
        return TrialFolder(given)
    for folder in (SweepFolder(given), SweepFolder(storage / name)):
        if folder.exists():
            return _best(folder)
    found = find_run(name, uri)
    if found is None:
        raise UserError(
            f"{name} is no folder of a trial or of an exported encoder, no sweep in {storage}, and no run in MLflow at "
            f"{uri}; name one of them, torchvision:MODEL, or say where they are with --storage and --tracking-uri"
        )
    # By its identity, because the folder may have been moved, or renamed by --fresh.
    there = [
        SweepFolder(id.parent)
        for home in (found.folder.path.parent, storage)
        for id in sorted(home.glob("*/id"), key=str)
    ]
    folder = next((one for one in there if one.exists() and one.identity() == found.sweep), None)
    if folder is None:
        raise UserError(f"run {name} belongs to sweep {found.folder.path}, which is not here; point --storage at it")
    return _best(folder) if found.number is None else folder.trial(found.number)


def sweep_of(trial: TrialFolder) -> SweepFolder:
    """The sweep of a trial."""
    return SweepFolder(trial.path.parent.parent)


def _frozen(name: str, exported: Exported) -> FrozenEncoder:
    wanted = exported.card["input"]
    return FrozenEncoder(name, at_rest(exported.encoder), wanted["size"], tuple(wanted["mean"]), tuple(wanted["std"]))


def _shelf(storage: Place, name: str, encoder: FrozenEncoder) -> Shelf:
    """Where scores are stored; encoders of the same name with other weights have other folders."""
    words = re.sub(r"[^A-Za-z0-9]+", "-", Path(name).name if "/" in name else name).strip("-")
    home = storage / EVALUATIONS
    folder = home / f"{words}-{encoder.fingerprint[:12]}"
    return Shelf(folder, home, folder.scratch() / "features")


def _best(folder: SweepFolder) -> TrialFolder:
    led = Standings(folder).history
    if not led:
        raise UserError(f"{folder.path}: this sweep has no finished trial yet, and only a finished one has an encoder")
    if len(led[-1]) > 1:
        numbers = [str(standing.trial.number) for standing in led[-1]]
        raise UserError(
            f"{folder.path}: its Pareto front holds trials {', '.join(numbers)}; name the folder of one of them, "
            f"such as {led[-1][0].trial.path}"
        )
    return led[-1][0].trial
