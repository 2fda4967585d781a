"""Options of the command `profile`."""

from argparse import ArgumentParser
from pathlib import Path

from orchestrator.core import command_line
from orchestrator.study import shipped

SUMMARY = "Show where the time of a run goes, from some of its steps under torch's profiler."
EXAMPLES = """
  {prog} msr                                # a search space that comes with AugSweep, by its name
  {prog} my_study.yaml --steps 50 --trace trace.json
  {prog} my_study.yaml --set run.training.batch_size=512 --set sweep.gpus_per_worker=1
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of `profile` to a parser."""
    file = parser.add_argument("file", help="a YAML file with the sections sweep, run and search, or a search space")
    command_line.complete_with(file, shipped.names())
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="change a field of the file")
    parser.add_argument("--steps", type=int, default=20, help="how many steps to profile (default: 20)")
    parser.add_argument("--trace", type=Path, metavar="FILE", help="write these steps in Chrome's trace format")
