"""What the command lines share: parsers whose help ends with examples, and the words that start a command."""

import argparse
import os
import shutil
from collections.abc import Callable, Sequence
from glob import escape, glob
from types import ModuleType
from typing import Any

from orchestrator.core.home import home_provided
from orchestrator.core.terminal import protect_output

SCRIPT = "augsweep"
_script: str | None = None


def set_script(path: str) -> None:
    """Record that the console script at this path started the process, so that help and hints name it."""
    global _script
    on_path = shutil.which(SCRIPT)
    _script = SCRIPT if on_path is not None and os.path.samefile(on_path, path) else path


def words(package: str, python: str = "python") -> list[str]:
    """The words that start a command in the way in which this process was started.

    Args:
        package: package of the command, such as `orchestrator.sweep`.
        python: how to write the interpreter, where the command is a module of it.
    """
    return [python, "-m", package] if _script is None else [_script, package.rpartition(".")[2]]


def parser(arguments: ModuleType) -> argparse.ArgumentParser:
    """The parser of a command.

    Args:
        arguments: the command's module `arguments`, which defines `SUMMARY`, `EXAMPLES` and `add_arguments(parser)`.
    """
    prog = " ".join(words(arguments.__name__.rpartition(".")[0]))
    made = argparse.ArgumentParser(prog=prog, **settings(arguments, prog))
    arguments.add_arguments(made)
    return made


def settings(arguments: ModuleType, prog: str) -> dict[str, Any]:
    """Keyword arguments of the `ArgumentParser` of a command: what its help says around the options."""
    return {
        "description": arguments.SUMMARY,
        "epilog": f"examples:\n{arguments.EXAMPLES.strip(chr(10)).replace('{prog}', prog)}",
        "formatter_class": argparse.RawDescriptionHelpFormatter,
        "allow_abbrev": False,  # commands are printed and stored with the options as they were typed
    }


def run(main: Callable[[], int]) -> int:
    """Run a command to its exit code, with a home folder, and with output streams that cannot end it."""
    protect_output()
    with home_provided():
        return main()


def complete_with(argument: argparse.Action, names: Sequence[str]) -> None:
    """Let shells complete an argument with names as well as with files."""

    def candidates(prefix: str, **_: object) -> list[str]:
        files = glob(f"{escape(prefix)}*")
        return [*names, *(f"{file}/" if os.path.isdir(file) else file for file in files)]

    argument.completer = candidates  # pyright: ignore[reportAttributeAccessIssue]  (where argcomplete looks for it)
