"""Options of the command `evaluate`."""

from argparse import ArgumentParser

from orchestrator.core import command_line
from orchestrator.evaluate import suites

SUMMARY = "Score a frozen encoder on held-out data, by a suite of named protocols."
EXAMPLES = """
  {prog} msr                                # the best trial of the sweep msr
  {prog} sweeps/msr/trials/0005 --suite robustness
  {prog} torchvision:resnet50 --suite transfer --size 224
  {prog} my.module:encoder --suite my_suite.yaml --set protocols.few_shot.tasks=100
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of `evaluate` to a parser."""
    parser.add_argument(
        "encoder",
        help="folder of a trial, name or folder of a sweep (its best trial is taken), MLflow run id, exported encoder "
        "or checkpoint, torchvision:MODEL, torchvision:MODEL@FILE, or a function, my.module:function",
    )
    suite = parser.add_argument(
        "--suite",
        default="held_out",
        help=f"what to measure: {', '.join(suites.names())}, or a file (default: held_out)",
    )
    command_line.complete_with(suite, suites.names())
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="change a field of the suite")
    parser.add_argument("--size", type=int, help="side of the images in pixels, for torchvision:MODEL")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads, for an encoder that was not trained here")
    parser.add_argument(
        "--tracking-uri", help="MLflow's store or server (default: MLFLOW_TRACKING_URI, then mlflow.db)"
    )
    parser.add_argument("--storage", default="sweeps", help="where sweep folders lie (default: sweeps)")
