"""Entry point of the console script `augsweep`: chooses a command and runs its package as `python -m` does."""

import os
import runpy
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from importlib.metadata import version
from pathlib import Path

# Before the working folder is on the path, so that no folder of the user's takes their place.
import augment  # noqa: F401
import methods  # noqa: F401
from orchestrator.cli.commands import COMMANDS, arguments
from orchestrator.core import command_line
from orchestrator.core.shadowing import shadowing

SHELLS = ("bash", "zsh", "fish")
_EPILOG = """\
examples:
  augsweep sweep msr                          # search; the same command continues a stopped sweep
  augsweep sweep my_study.yaml --dry-run      # show what a file would do
  augsweep evaluate sweeps/msr/trials/0005    # score an encoder on held-out data
  eval "$(augsweep completion bash)"          # complete commands, options and names with TAB

`augsweep COMMAND --help` shows the options of a command, with examples.
"""


def main() -> None:
    """Run the command that `sys.argv` names, in this process, until it exits."""
    command_line.set_script(sys.argv[0])
    if (problem := shadowing(Path.cwd())) is not None:
        sys.stderr.write(f"error: {problem}\n")
        sys.exit(2)
    sys.path.append(os.getcwd())  # the user's own modules; last, so that they hide no other module
    if "_ARGCOMPLETE" in os.environ:  # a shell asks for completions
        from orchestrator.cli import completion

        completion.answer(parser())
    options = parser().parse_args()  # help and mistakes are answered here, before the command's imports
    if options.command in COMMANDS:
        del sys.argv[1]
        runpy.run_module(COMMANDS[options.command], run_name="__main__", alter_sys=True)
    else:
        _print_completion(options.shell)


def parser() -> ArgumentParser:
    """The whole command line, for help and completion; a command that runs parses its options again."""
    made = ArgumentParser(
        prog=command_line.SCRIPT,
        description="Find the augmentation settings of a self-supervised vision encoder.",
        epilog=_EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("--version", action="version", version=f"{command_line.SCRIPT} {version('augsweep')}")
    commands = made.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        described = arguments(name)
        settings = command_line.settings(described, f"{command_line.SCRIPT} {name}")
        described.add_arguments(commands.add_parser(name, help=described.SUMMARY, **settings))
    shell = commands.add_parser("completion", help="Print the lines that let a shell complete this command line.")
    shell.add_argument("shell", choices=SHELLS)
    return made


def _print_completion(shell: str) -> None:
    from orchestrator.cli import completion

    sys.stdout.write(completion.script(shell))
