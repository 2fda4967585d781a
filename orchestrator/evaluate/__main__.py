"""Scores a frozen encoder on held-out tests, by a suite of named protocols.

python -m orchestrator.evaluate ENCODER [--suite NAME] [--set PATH=VALUE] [--tracking-uri URI] [--storage DIR]
"""

import sys
from collections.abc import Sequence

from rich.console import Console

from orchestrator.core import command_line
from orchestrator.core.errors import UserError, error_lines
from orchestrator.evaluate import arguments as described
from orchestrator.evaluate import suite as suites
from orchestrator.evaluate.runner import Runner, Unscored
from orchestrator.evaluate.table import heading, remarks, table
from orchestrator.evaluate.target import Subject, subject, sweep_of
from orchestrator.storage.path import parse
from orchestrator.storage.s3 import UnavailableError
from orchestrator.tracking.mlflow.address import tracking_uri
from orchestrator.tracking.mlflow.tracker import send_evaluation, send_scores

_WIDTH = 180  # columns of output that is not a terminal


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options = command_line.parser(described).parse_args(arguments)
    try:
        uri = tracking_uri(options.tracking_uri)
        found = subject(options.encoder, parse(options.storage), uri, size=options.size, threads=options.threads)
        suite = suites.load(options.suite, options.set, found.own, found.encoder.decoding)
        evaluation = Runner(found, suite).run()
        if not evaluation.rows:
            raise UserError("\n".join(map(_told, evaluation.unscored)))
        console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _WIDTH)
        console.print(
            heading(evaluation), table(evaluation, console.width), remarks(evaluation), sep="\n", markup=False
        )
        problem = _send(found, uri)
    except (UserError, UnavailableError) as error:
        sys.stderr.write(error_lines(error))
        return 2
    if problem:
        print(f"warning: {problem}", file=sys.stderr)
    mistakes = [one for one in evaluation.unscored if one.mistake]
    for one in mistakes:
        print(f"error: {_told(one)}", file=sys.stderr)
    return 2 if mistakes else 0


def _send(found: Subject, uri: str) -> str | None:
    """Sends the scores to MLflow: to the trial's run, or to a run of the encoder's own."""
    if found.trial is not None:
        return send_scores(sweep_of(found.trial), found.trial.number, uri)
    return send_evaluation(found.shelf.folder, uri)


def _told(one: Unscored) -> str:
    return f"{one.protocol} on {one.data}: {one.reason}"


if __name__ == "__main__":
    sys.exit(command_line.run(main))
