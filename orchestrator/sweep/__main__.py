"""What a user runs: `python -m orchestrator.sweep FILE` searches, and the same line again continues.

Exit codes: 0 done, or out of time with a trial finished; 1 no trial finished, or the disk was full; 2 a mistake of the
user's; 130 and 143 stopped by Ctrl-C and SIGTERM.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext

from orchestrator.core.terminal import protect_output


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(given)
    try:
        return _run(options, given)
    except KeyboardInterrupt:
        sys.stderr.write("stopped before the first trial; the same command begins again\n")
        return 130


def _run(options: argparse.Namespace, given: Sequence[str]) -> int:
    # Imported here, so that Ctrl-C is met by `main` at any moment, and a mistake in the file before Ray is imported.
    from orchestrator.core.errors import UserError, told
    from orchestrator.executors.ray.fork_server import fork_server
    from orchestrator.study import study_file  # noqa: F401  (its imports are those of workers too)

    with nullcontext() if options.dry_run or options.address is not None else fork_server():
        try:
            return _done(options, given)
        except UserError as error:
            sys.stderr.write(told(error))
            return 2


def _done(options: argparse.Namespace, given: Sequence[str]) -> int:
    from orchestrator.storage.path import at, on_disk
    from orchestrator.study.checks import check_storage
    from orchestrator.study.study_file import load_study

    with on_disk(options.file) as file:
        study = load_study(file, options.set, trials=options.trials)
    storage = at(options.storage)
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
    """Arguments that say where things lie, as far as the user has given them."""
    storage = () if options.storage == _parser().get_default("storage") else ("--storage", options.storage)
    return (*storage, *(("--tracking-uri", options.tracking_uri) if options.tracking_uri else ()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m orchestrator.sweep",
        description="Search as a file says; the same command again continues.",
        allow_abbrev=False,  # else `--fre` would stay in the command that continues
    )
    parser.add_argument("file", help="a YAML file with the sections sweep, run and search")
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="change a field of the file")
    parser.add_argument("--trials", type=int, help="how many trials there shall be in the end")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and stop")
    parser.add_argument("--fresh", action="store_true", help="begin anew; an old sweep of this name is kept aside")
    parser.add_argument(
        "--storage", default="sweeps", help="where sweep folders lie: a folder, or s3://BUCKET/PREFIX (default: sweeps)"
    )
    parser.add_argument("--tracking-uri", help="of MLflow (default: MLFLOW_TRACKING_URI, else sqlite:///mlflow.db)")
    parser.add_argument(
        "--address",
        default=os.environ.get("RAY_ADDRESS") or None,
        help="of a Ray cluster that is there: host:port, or auto (default: RAY_ADDRESS, else this machine alone)",
    )
    parser.add_argument("--quiet", action="store_true", help="only the closing summary")
    return parser


if __name__ == "__main__":
    protect_output()
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Not `sys.exit`: a thread of the baselines that is still at work would abort the interpreter on its way out.
    os._exit(code)
