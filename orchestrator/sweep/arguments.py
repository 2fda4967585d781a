"""Options of the command `sweep`."""

import os
from argparse import ArgumentParser

from orchestrator.core import command_line
from orchestrator.study import shipped

STORAGE = "sweeps"  # in the working folder
SUMMARY = "Search the settings that a file describes; the same command continues a stopped sweep."
EXAMPLES = """
  {prog} smoke                              # a search space that comes with AugSweep, by its name
  {prog} my_study.yaml --dry-run            # show the plan, the time and the memory
  {prog} my_study.yaml --set run.training.epochs=50 --trials 40
  {prog} my_study.yaml --address auto --storage s3://bucket/sweeps --tracking-uri http://mlflow:5000
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of `sweep` to a parser."""
    file = parser.add_argument(
        "file",
        help="a YAML file with the sections sweep, run and search, or the name of a search space: "
        + ", ".join(shipped.names()),
    )
    command_line.complete_with(file, shipped.names())
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="change a field of the file")
    parser.add_argument("--trials", type=int, help="how many trials the sweep has in the end")
    parser.add_argument("--dry-run", action="store_true", help="show what the sweep would do, and exit")
    parser.add_argument(
        "--fresh", action="store_true", help="start over; an old sweep of this name is renamed, not deleted"
    )
    parser.add_argument(
        "--storage", default=STORAGE, help="where sweep folders lie: a folder, or s3://BUCKET/PREFIX (default: sweeps)"
    )
    parser.add_argument("--tracking-uri", help="of MLflow (default: MLFLOW_TRACKING_URI, else sqlite:///mlflow.db)")
    parser.add_argument(
        "--address",
        default=os.environ.get("RAY_ADDRESS") or None,
        help="run on this Ray cluster: HOST:PORT, or auto (default: RAY_ADDRESS, else this machine alone)",
    )
    parser.add_argument("--quiet", action="store_true", help="print only the closing summary")
