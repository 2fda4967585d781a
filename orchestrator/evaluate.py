"""Scores the exported encoder of a trial on held-out tests.

python -m orchestrator.evaluate RUN [--tracking-uri URI] [--storage DIR]
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from orchestrator import held_out, scores, standings
from orchestrator.components import find
from orchestrator.errors import UserError
from orchestrator.folder import SweepFolder, TrialFolder
from orchestrator.held_out import GAP, Score
from orchestrator.images import DatasetCard
from orchestrator.running.wording import count
from orchestrator.spec.config import resolve
from orchestrator.storage.place import Place, at
from orchestrator.storage.s3 import UnavailableError
from orchestrator.tracking.tracker import find_run, send_scores, tracking_uri
from orchestrator.training import export


@dataclass(frozen=True)
class Evaluated:
    """A trial and what its encoder scored.

    Args:
        trial: that was scored.
        found: by protocol, then by test variant.
        content: of `test.json`.
    """

    trial: TrialFolder
    found: Mapping[str, Mapping[str, Score]]
    content: Mapping[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        uri = tracking_uri(options.tracking_uri)
        trial = locate(options.run, at(options.storage), uri)
        evaluated = evaluate(trial)
        Console(highlight=False, soft_wrap=True).print(heading(trial), table(evaluated), remarks(evaluated), sep="\n")
        problem = send_scores(sweep_of(trial), trial.number, uri)
    except (UserError, UnavailableError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if problem:
        print(f"warning: {problem}", file=sys.stderr)
    return 0


def locate(name: str, storage: Place, uri: str) -> TrialFolder:
    """The trial that a user means.

    Args:
        name: the folder of a trial; the name or folder of a sweep, for its best trial; or an MLflow run id of either.
        storage: where sweeps lie.
        uri: of MLflow, asked only for a run id.

    Raises:
        UserError: if there is no such trial here, or the sweep has no finished one.
    """
    given = at(name)
    if given.name.isdecimal() and (given / "config.yaml").exists():
        return TrialFolder(given)
    for folder in (SweepFolder(given), SweepFolder(storage / name)):
        if folder.exists():
            return _best(folder)
    found = find_run(name, uri)
    if found is None:
        raise UserError(
            f"{name} is no folder of a trial, no sweep in {storage}, and no run in MLflow at {uri}; "
            "name one of them, or say where they are with --storage and --tracking-uri"
        )
    # By its identity, since the folder may have been moved, or put aside by --fresh.
    there = [
        SweepFolder(id.parent)
        for home in (found.folder.path.parent, storage)
        for id in sorted(home.glob("*/id"), key=str)
    ]
    folder = next((one for one in there if one.exists() and one.identity() == found.sweep), None)
    if folder is None:
        raise UserError(f"run {name} belongs to sweep {found.folder.path}, which is not here; point --storage at it")
    return _best(folder) if found.number is None else folder.trial(found.number)


def evaluate(trial: TrialFolder) -> Evaluated:
    """Scores a trial's encoder on every test variant, writes `test.json` beside it, and enters the look in the book.

    Raises:
        UserError: if there is no whole encoder, a data file is damaged, or the data are others than those of training.
    """
    config = trial.config()
    if not config or "run" not in config:
        raise UserError(f"{trial.path}: this trial was never run; evaluate a finished one")
    run = resolve(config["run"])
    exported = export.read(trial.path)
    card: DatasetCard = find("orchestrator.datasets", run.dataset.name).card(run.dataset)
    _require_same_data(exported.card, card, trial)
    if not card.variants:
        raise UserError(f"{trial.path}: run.dataset.name = {run.dataset.name} as set up here has no test images")
    sweep, before = sweep_of(trial), held_out.fingerprint(exported.encoder)
    scores.note_use(sweep, trial, before)
    store = held_out.FeatureStore(trial.path.scratch() / "features", exported.encoder, run=run, card=card)
    try:
        with store.arithmetic():
            found = held_out.score(store, card.variants)
    except ValueError as error:
        raise UserError(f"{trial.path}: {error}") from error
    assert held_out.fingerprint(exported.encoder) == before, "the evaluation changed the encoder that it measures"
    looks = scores.uses(sweep)
    content = {
        "metrics": held_out.metrics(found),
        "encoder": before,
        "data_fingerprint": card.fingerprint,
        "test_uses": len(looks),
        "encoders_tested": len({look["encoder"] for look in looks}),
    }
    scores.write_scores(trial, content)
    return Evaluated(trial, found, content)


def sweep_of(trial: TrialFolder) -> SweepFolder:
    """The sweep that a trial's folder lies in."""
    return SweepFolder(trial.path.parent.parent)


def heading(trial: TrialFolder) -> str:
    """What the table is of."""
    return f"{sweep_of(trial).name}, trial {trial.number}, on held-out tests: % correct ± standard error"


def table(evaluated: Evaluated) -> Table:
    """A row per test variant and a column per protocol, in percent with standard errors."""
    shown = Table()
    shown.add_column("test")
    for protocol in evaluated.found:
        shown.add_column(protocol, justify="right", no_wrap=True)
    for variant in next(iter(evaluated.found.values())):
        cells = [_cell(found[variant]) for found in evaluated.found.values()]
        if variant == GAP:
            shown.add_section()
        shown.add_row("mixed_same - mixed_rand" if variant == GAP else variant, *cells)
    return shown


def remarks(evaluated: Evaluated) -> str:
    """What must be known to read the table."""
    content = evaluated.content
    looks, encoders = count(content["test_uses"], "time"), count(content["encoders_tested"], "encoder")
    return (
        f"Encoder {content['encoder'][:16]}, frozen (the same hash before and after); "
        f"data {content['data_fingerprint']}.\n"
        f"This sweep's test set has been used {looks}, on {encoders}; "
        "whoever chooses by it makes it a validation set.\n"
        f"The scores are in {evaluated.trial.path / 'test.json'}."
    )


def _cell(score: Score) -> str:
    return f"{score.value:.1f} ± {score.error:.1f}"


def _best(folder: SweepFolder) -> TrialFolder:
    led = standings.Standings(folder).led
    if not led:
        raise UserError(f"{folder.path}: this sweep has no finished trial yet, and only a finished one has an encoder")
    if len(led[-1]) > 1:
        numbers = [str(standing.trial.number) for standing in led[-1]]
        raise UserError(
            f"{folder.path}: its Pareto front holds trials {', '.join(numbers)}; name the folder of one of them, "
            f"such as {led[-1][0].trial.path}"
        )
    return led[-1][0].trial


def _require_same_data(exported: Mapping[str, Any], card: DatasetCard, trial: TrialFolder) -> None:
    trained_on = exported["data"]["fingerprint"]
    if trained_on != card.fingerprint:
        raise UserError(
            f"{trial.path}: the encoder was trained on data {trained_on}, the data set is now {card.fingerprint}; "
            "numbers compare only where these are equal, so use the program version that trained it"
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m orchestrator.evaluate", description="Scores the exported encoder of a trial on held-out tests."
    )
    parser.add_argument(
        "run", help="folder of a trial, name or folder of a sweep (its best trial is taken), or an MLflow run id"
    )
    parser.add_argument(
        "--tracking-uri", help="MLflow's store or server (default: MLFLOW_TRACKING_URI, then mlflow.db)"
    )
    parser.add_argument("--storage", default="sweeps", help="where the sweeps lie (default: sweeps)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
