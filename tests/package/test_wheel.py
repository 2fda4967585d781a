"""The wheel holds the packages, every file that they read, the search spaces and the licences, and nothing else."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("augment", "methods", "orchestrator")


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """The files in a wheel of this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name} | {
            name.partition(".dist-info/")[2] for name in archive.namelist() if ".dist-info/" in name
        }


def test_every_file_of_the_packages_is_in_the_wheel(names):
    files = {
        str(file.relative_to(ROOT)) for package in PACKAGES for file in (ROOT / package).rglob("*") if file.is_file()
    }
    assert {file for file in files if not file.endswith(".pyc")} <= names


def test_search_spaces_lie_in_the_package(names):
    files = {f"orchestrator/{file.relative_to(ROOT)}" for file in (ROOT / "search_spaces").rglob("*.yaml")}
    assert len(files) >= 15
    assert files <= names


def test_nothing_else_lies_at_the_top(names):
    assert {name.partition("/")[0] for name in names if "/" in name} == {*PACKAGES, "licenses"}


def test_licences_of_code_and_data_are_in_the_wheel(names):
    attributions = {str(file.relative_to(ROOT)) for file in ROOT.glob("orchestrator/datasets/*/ATTRIBUTION.md")}
    assert len(attributions) >= 2
    assert {f"licenses/{name}" for name in ("LICENSE", "NOTICE", *attributions)} <= names


def test_notice_names_every_image_that_the_packages_hold():
    notice = (ROOT / "NOTICE").read_text()
    images = [file.name for kind in ("png", "webp") for file in (ROOT / "orchestrator").rglob(f"*.{kind}")]
    assert len(images) > 20
    assert [name for name in images if name not in notice] == []


def test_licence_expression_names_what_notice_names():
    expression = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["license"]
    notice = (ROOT / "NOTICE").read_text()
    assert all(name in notice.replace("MIT licence", "MIT") for name in expression.split(" AND "))
