"""The commands of `augsweep`. To add one, add its package here.

A command is a package with two modules:

- `arguments.py` defines SUMMARY (one line), EXAMPLES (lines in which `{prog}` stands for the command) and
  `add_arguments(parser)`. Help and completion import it, so its imports must be light: no torch, Ray or MLflow.
- `__main__.py` runs the command. `augsweep NAME` and `python -m PACKAGE` are the same program.
"""

import importlib
from types import ModuleType

PACKAGES = (
    "orchestrator.sweep",
    "orchestrator.evaluate",
    "orchestrator.profile",
)
COMMANDS = {package.rpartition(".")[2]: package for package in PACKAGES}


def arguments(name: str) -> ModuleType:
    """The module that describes the options of a command."""
    return importlib.import_module(f"{COMMANDS[name]}.arguments")
