"""Completion in bash, zsh and fish, which argcomplete answers from the commands' parsers."""

from argparse import ArgumentParser

import argcomplete


def answer(parser: ArgumentParser) -> None:
    """Print what could follow the words that the shell passes in its environment, and exit."""
    argcomplete.autocomplete(parser)


def script(shell: str) -> str:
    """The lines that a shell evaluates to complete `augsweep`.

    Args:
        shell: `bash`, `zsh` or `fish`.
    """
    return argcomplete.shellcode(["augsweep"], shell=shell)  # pyright: ignore[reportPrivateImportUsage]  (documented)
