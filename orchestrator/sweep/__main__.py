"""The command `python -m orchestrator.sweep FILE`: searches; the same command continues a stopped sweep.

Exit codes: 0 done, or out of time with a trial finished; 1 no trial finished, the disk was full, or Ray was stopped
from outside; 2 a mistake of the user's; 130 and 143 stopped by Ctrl-C and SIGTERM.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from orchestrator.core import command_line
from orchestrator.study import shipped
from orchestrator.sweep import arguments as described


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = command_line.parser(described).parse_args(given)
    try:
        return _run(options, given)
    except KeyboardInterrupt:
        sys.stderr.write("stopped before the first trial; run the same command to start again\n")
        return 130


def _run(options: argparse.Namespace, given: Sequence[str]) -> int:
    # Imported here, so that `main` catches Ctrl-C at any time, and the file is checked before Ray's import.
    from orchestrator.core.errors import UserError, error_lines
    from orchestrator.storage.path import on_disk

    try:
        with on_disk(shipped.path_of(options.file)) as file, _prepared(options, file):
            return _done(options, given, file)
    except UserError as error:
        sys.stderr.write(error_lines(error))
        return 2


def _prepared(options: argparse.Namespace, file: Path) -> AbstractContextManager[None]:
    """Preparations of the executor that run while the file is checked; none for a dry run."""
    from orchestrator.config.sweep import EXECUTORS
    from orchestrator.core.errors import UserError
    from orchestrator.core.registry import find
    from orchestrator.study.study_file import executor_name

    try:
        executor = find(EXECUTORS, executor_name(file, options.set))
    except UserError:
        return nullcontext()  # reported with all other mistakes of the file
    prepared = getattr(executor, "prepared", None)
    return nullcontext() if options.dry_run or prepared is None else prepared(options.address)


def _done(options: argparse.Namespace, given: Sequence[str], file: Path) -> int:
    from orchestrator.storage.path import parse
    from orchestrator.study.checks import check_storage
    from orchestrator.study.study_file import load_study

    study = load_study(file, options.set, trials=options.trials)
    storage = parse(options.storage)
    check_storage(storage, study.sweep.name)
    if options.dry_run:
        from orchestrator.sweep.dry_run import dry_run

        sys.stdout.write(dry_run(study))
        return 0
    from orchestrator.sweep.driver import Options, drive

    return drive(
        study,
        Options(
            storage=storage,
            tracking_uri=options.tracking_uri,
            address=options.address,
            fresh=options.fresh,
            quiet=options.quiet,
            command=tuple(argument for argument in given if argument != "--fresh"),
            places=_places(options),
        ),
    )


def _places(options: argparse.Namespace) -> tuple[str, ...]:
    """The arguments for storage and tracking that the user has given."""
    storage = () if options.storage == described.STORAGE else ("--storage", options.storage)
    return (*storage, *(("--tracking-uri", options.tracking_uri) if options.tracking_uri else ()))


if __name__ == "__main__":
    code = command_line.run(main)
    sys.stdout.flush()
    sys.stderr.flush()
    # Not `sys.exit`: a thread that still measures baselines would abort the interpreter at its exit.
    os._exit(code)
