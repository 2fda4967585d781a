"""Where a result comes from: the commit, the libraries and the machine."""

import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

# The libraries whose version can move a number or a resume.
LIBRARIES = ("torch", "ray", "optuna", "mlflow", "numpy")


def commit() -> str | None:
    """The git commit of this source tree, with `-dirty` where files differ from it; None if it is not a clone."""
    if _git("rev-parse", "--show-cdup").count("/") != 2:  # an installed copy may lie in a repository of the user's
        return None
    described = _git("describe", "--always", "--abbrev=40", "--dirty", "--match=")
    return described or None


def versions() -> dict[str, str]:
    """The version of Python and of each library in `LIBRARIES`, by name."""
    return {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES}


def device() -> str:
    """What this machine computes on, in words: every GPU by name, or the processor and the cores we may use."""
    import torch  # seconds of start-up that only those who ask should pay

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        return ", ".join(names)
    return f"{_processor()}, {len(os.sched_getaffinity(0)) if sys.platform == 'linux' else os.cpu_count()} cores"


def _processor() -> str:
    described = Path("/proc/cpuinfo")
    if described.exists():
        for line in described.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
