"""`uv.lock` is made from pyproject.toml as it is, of files of the public index alone."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCK = tomllib.loads((ROOT / "uv.lock").read_text())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
REFRESH = "run `.venv/bin/uv lock`"


def plain(requirement):
    """A requirement as name, extras and specifiers in one order."""
    name, extras, rest = re.fullmatch(r"([\w.-]+)(?:\[([^\]]*)\])?(.*)", requirement).groups()
    return name.lower(), frozenset((extras or "").split(",")), frozenset(filter(None, rest.replace(" ", "").split(",")))


def locked(entries):
    texts = [f"{one['name']}[{','.join(one.get('extras', []))}]{one.get('specifier', '')}" for one in entries]
    return {plain(text) for text in texts}


def group(name):
    """The requirements of a dependency group, with those of the groups that it includes."""
    found = []
    for entry in PROJECT["dependency-groups"][name]:
        found += group(entry["include-group"]) if isinstance(entry, dict) else [entry]
    return found


def ours():
    (package,) = (one for one in LOCK["package"] if one["name"] == "augsweep")
    return package["metadata"]


def test_the_lock_has_the_requirements_of_the_project():
    wanted = {plain(text) for text in PROJECT["project"]["dependencies"]}
    assert locked(one for one in ours()["requires-dist"] if "marker" not in one) == wanted, REFRESH
    for name in PROJECT["dependency-groups"]:
        assert locked(ours()["requires-dev"][name]) == {plain(text) for text in group(name)}, REFRESH


def test_the_lock_names_the_public_index_alone():
    sources = {source for one in LOCK["package"] for source in one["source"].items()}
    assert sources == {("registry", "https://pypi.org/simple"), ("editable", ".")}
    files = [file["url"] for one in LOCK["package"] for file in (*one.get("wheels", ()), one.get("sdist")) if file]
    assert files
    assert all(url.startswith("https://files.pythonhosted.org/packages/") for url in files)
