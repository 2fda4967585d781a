"""A user's file with the name of a package is refused in a line, before it is imported."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def started(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("command", ["sweep", "evaluate", "profile"])
@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("methods.py", "hides AugSweep's package methods"),
        ("augment/__init__.py", "hides AugSweep's package augment"),
        ("yaml.py", "hides the library yaml"),
    ],
)
def test_shadowing_file_is_refused(tmp_path: Path, command: str, file: str, expected: str) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("raise RuntimeError('imported')\n")
    done = started(tmp_path, "-m", f"orchestrator.{command}", "study.yaml")
    remedy = "rename it, or run the command from another folder"
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: {tmp_path / file} {expected}; {remedy}\n"


def test_other_names_are_a_users_own(tmp_path: Path) -> None:
    for name in ("methods", "augment", "torch"):  # without __init__.py, they hide nothing
        (tmp_path / name).mkdir()
    (tmp_path / "mylab.py").write_text("")
    assert started(tmp_path, "-c", "import orchestrator").returncode == 0
    assert started(ROOT, "-c", "import orchestrator").returncode == 0
    (tmp_path / "methods.py").write_text("")
    assert "ImportError: " in started(tmp_path, "-c", "import orchestrator").stderr


def test_packages_that_ray_unpacked_on_a_node_into_a_folder_each_are_imported(tmp_path: Path) -> None:
    folders = []
    for package in ("augment", "methods", "orchestrator"):
        folders.append(str(tmp_path / f"_ray_pkg_{package}"))
        ignored = shutil.ignore_patterns("*.png", "*.webp", "__pycache__")
        shutil.copytree(ROOT / package, tmp_path / f"_ray_pkg_{package}" / package, ignore=ignored)
    path = f"import sys; sys.path[:0] = {folders!r}; import orchestrator; print(orchestrator.__file__)"
    done = started(tmp_path, "-c", path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(folders[2])
