"""Commands in processes of their own, whose output goes nowhere, is cut off or lacks characters."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LINES = """
from orchestrator.core.terminal import protect_output
protect_output()
import os, subprocess, sys
for number in range(3):
    os.fstat(number)
for _ in range(20_000):
    print("1 \\u00b1 2 \\u2026 caf\\u00e9 \\udcff", flush=True)
sys.stderr.write("\\u00b1\\n")
subprocess.run([sys.executable, "-c", "import os; [os.fstat(number) for number in range(3)]"], check=True)
open("result", "w").write("kept")
"""


def run(folder: Path, shell: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["bash", "-c", f'set -o pipefail; "$@" {shell}', "bash", sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    "shell", ["| head -1", ">&-", "<&- >&- 2>&-", ">/dev/full", ">/dev/full 2>&1", "| true", ""], ids=repr
)
def test_work_goes_on_whatever_becomes_of_its_output(tmp_path: Path, shell: str) -> None:
    done = run(tmp_path, shell, "-c", LINES)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "result").read_text() == "kept"
    assert b"Traceback" not in done.stderr


def test_characters_outside_the_encoding_are_spelled_in_ascii(tmp_path: Path) -> None:
    done = run(tmp_path, "", "-c", LINES, PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == rb"1 +- 2 ... caf\xe9 \udcff"
    assert done.stderr == b"+-\n"


def test_utf_8_output_keeps_its_characters(tmp_path: Path) -> None:
    done = run(tmp_path, "", "-c", LINES, PYTHONIOENCODING="utf-8")
    assert done.stdout.splitlines()[0] == "1 ± 2 … café ".encode() + rb"\udcff"


def test_full_pipe_that_does_not_block_is_waited_for(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with open(reading, "rb") as output:
        work = subprocess.Popen(
            [sys.executable, "-c", LINES], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=writing
        )
        os.close(writing)
        assert len(output.read().splitlines()) == 20_000
    assert work.wait(60) == 0


@pytest.mark.parametrize("command", ["sweep", "evaluate", "profile"])
def test_each_command_protects_its_output(tmp_path: Path, command: str) -> None:
    assert run(tmp_path, ">/dev/full", "-m", f"orchestrator.{command}", "--help").returncode == 0
