import re
import sys
import tomllib
from pathlib import Path

import pytest

from orchestrator.core.errors import UserError
from orchestrator.core.registry import _EXTRAS, find, names


def test_find_returns_the_module_named_by_its_file():
    assert find("augment.ops", "crop").__name__ == "augment.ops.crop"


def test_names_lists_components_and_leaves_out_what_configures_nothing():
    found = names("methods")
    assert {"simclr", "byol"} <= set(found)
    assert not {"contract", "objective", "parts", "addons"} & set(found)


def test_find_offers_the_nearest_name():
    with pytest.raises(UserError, match=r"^augment\.ops has no colour_jitter; did you mean color_jitter\?$"):
        find("augment.ops", "colour_jitter")


def test_find_lists_all_where_nothing_is_near():
    with pytest.raises(UserError, match=r"known are .*color_jitter.*crop"):
        find("augment.ops", "zzz")


def test_find_refuses_a_module_without_config():
    with pytest.raises(UserError, match=r"methods\.contract is no component"):
        find("methods", "contract")


@pytest.fixture
def own_package(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "mylab_components"
    package.mkdir()
    (package / "__init__.py").touch()
    yield package
    for name in [name for name in sys.modules if name.split(".")[0] == "mylab_components"]:
        del sys.modules[name]


def test_find_takes_a_dotted_name_for_a_module_of_the_users(own_package):
    (own_package / "vicreg.py").write_text(
        "from augment.config import Config as Base\nclass Config(Base):\n    name: str\n"
    )
    assert find("methods", "mylab_components.vicreg").Config(name="x").name == "x"


def test_find_tells_a_module_that_is_not_there_from_one_that_lacks_a_library(own_package):
    (own_package / "hungry.py").write_text("import no_such_library\n")
    with pytest.raises(UserError, match=r"there is no module mylab_components\.absent"):
        find("methods", "mylab_components.absent")
    with pytest.raises(UserError, match=r"hungry cannot be imported: it needs no_such_library"):
        find("methods", "mylab_components.hungry")


def test_extras_bring_the_library_that_they_are_named_after():
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    brought = {
        name: [re.match(r"\w+", need)[0] for need in needs] for name, needs in project["optional-dependencies"].items()
    }
    assert brought == {name: [name] for name in _EXTRAS}


@pytest.mark.parametrize("name", ["./vicreg.py", "mylab/vicreg.py", "vicreg.py", ".vicreg"])
def test_find_says_how_a_file_is_named(name):
    with pytest.raises(UserError, match=r"is not the dotted name of a module: write mylab\.vicreg for the file mylab/"):
        find("methods", name)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import sys\n\nclass Config(:\n", r"SyntaxError: invalid syntax \(broken\.py, line 3\)"),
        ("from methods.contract import Nothing\n", r"ImportError: cannot import name 'Nothing' .*broken\.py, line 1\)"),
        ("import json\njson.loads('{')\n", r"JSONDecodeError: Expecting .*/broken\.py, line 2\)"),
    ],
)
def test_find_tells_what_is_wrong_with_a_module_and_where(own_package, code, expected):
    (own_package / "broken.py").write_text(code)
    with pytest.raises(UserError, match=rf"^mylab_components\.broken cannot be imported: {expected}$"):
        find("methods", "mylab_components.broken")


def test_names_leave_out_what_lacks_a_library_but_hide_no_mistake_of_the_house(own_package):
    (own_package / "vicreg.py").write_text("from augment.config import Config as Base\nclass Config(Base):\n    pass\n")
    (own_package / "hungry.py").write_text("import no_such_library\n")
    assert names("mylab_components") == ["vicreg"]
    (own_package / "wrong.py").write_text("import methods.no_such_part\n")
    with pytest.raises(ModuleNotFoundError, match=r"methods\.no_such_part"):
        names("mylab_components")


def test_find_refuses_a_config_that_is_not_ours(own_package):
    (own_package / "loose.py").write_text("class Config:\n    pass\n")
    with pytest.raises(UserError, match="is no component"):
        find("methods", "mylab_components.loose")
