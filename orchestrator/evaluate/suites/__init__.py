"""The evaluation suites that come with AugSweep, one YAML file each."""

from pathlib import Path

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Names of the suites, sorted."""
    return sorted(file.stem for file in FOLDER.glob("*.yaml"))
