"""The sweep command many times from one start of Python, which imports once what takes the command seconds to import.

    python -m tests.orchestrator.study.forked_commands a_good_study.yaml

Reads a list of argument lists as JSON and writes as many outcomes. Each command is a process of its own, a fork, that
runs the module as `python -m` does, up to its own way of leaving.
"""

import json
import os
import runpy
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

from orchestrator.study.study_file import load_study

HEAVY = ("ray", "mlflow", "optuna", "torch._dynamo")


def outcome(arguments: list[str]) -> dict[str, Any]:
    """Exit code, output, errors, and which of the heavy libraries it had imported by its end."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err, tempfile.TemporaryFile("w+") as seen:
        pid = os.fork()
        if not pid:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            _become_the_command(arguments, seen)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        for file in (out, err, seen):
            file.seek(0)
        return {"code": code, "out": out.read(), "err": err.read(), "imported": json.load(seen)}


def _become_the_command(arguments: list[str], seen: Any) -> None:
    leave = os._exit

    def say_and_leave(code: int) -> None:
        json.dump([name for name in HEAVY if name in sys.modules], seen)
        seen.flush()
        leave(code)

    os._exit = say_and_leave
    sys.argv = ["orchestrator.sweep", *arguments]
    try:
        runpy.run_module("orchestrator.sweep", run_name="__main__", alter_sys=True)
    except BaseException:  # a real process would print this too
        traceback.print_exc()
        sys.stderr.flush()
    say_and_leave(1)


if __name__ == "__main__":
    load_study(Path(sys.argv[1]))  # imports what the command itself does while it reads a file, and nothing else
    json.dump([outcome(arguments) for arguments in json.load(sys.stdin)], sys.stdout)
