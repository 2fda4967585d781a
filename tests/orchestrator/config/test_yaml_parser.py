"""YAML 1.2's core schema, and texts that are written to exhaust a parser."""

import math
import sys

import pytest

from orchestrator.config.yaml_file import parse, read, reread, write
from orchestrator.config.yaml_parser import MAX_ALIASED, MAX_DEPTH
from orchestrator.core.errors import UserError
from tests.orchestrator.studies import with_changes
from tests.orchestrator.study.test_bad_input import refusal


def refused(text: str) -> str:
    with pytest.raises(UserError) as caught:
        parse(text)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("008", 8),
        ("010", 10),
        ("-7", -7),
        ("0o17", 15),
        ("0x1F", 31),
        ("1e-3", 0.001),
        (".5", 0.5),
        ("1.", 1.0),
        ("6.8523015e+5", 685230.15),
        ("-.INF", -math.inf),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("", None),
        ("Null", None),
        *((text, text) for text in ("1:30", "off", "On", "no", "YES", "y", "1_000", "2024-01-31", "=", "tRue", "0b1")),
        ("'5'", "5"),
        ("!!str 5", "5"),
        ("! 5", "5"),
        ("!!float 5", 5.0),
    ],
)
def test_scalar_is_read_by_the_core_schema(text, value):
    found = parse(f"key: {text}\n")["key"]
    assert found == value
    assert type(found) is type(value)


def test_old_files_of_ours_and_new_ones_are_read_as_they_were_written():
    assert reread("name: 1e3\nroot: 08\n") == {"name": "1e3", "root": "08"}  # unquoted by earlier versions
    tree = {"name": "1e3", "words": ["08", "0o7", "1:30", "off", "1.5e3", "+1e5"]}
    assert parse(write(tree)) == reread(write(tree)) == tree


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: &x {b: 1}\nc: {<<: *x}", "line 2, column 5: merge keys (<<) are not part of YAML 1.2; write the keys out"),
        ("a: &x [*x]", "line 1, column 8: the alias *x lies inside what it stands for"),
        ("a: *x", "line 1, column 4: the alias *x has no anchor &x before it"),
        ("a: 1\n---\nb: 2", "line 2, column 1: a second document begins here; a file must hold one"),
        ("a: !!int many", "line 1, column 4: many is not of the kind int; correct the value or remove the tag"),
        ("a: !!set {x}", "line 1, column 4: the tag !!set is not supported; remove it"),
        ("? [a]\n: 1", 'line 1, column 3: the key ["a"] must be a string; quote it'),
        ("~: 1", "line 1, column 1: the key ~ must be a string; quote it"),
        ('a: "\\ud800"', "line 1, column 4: the string holds the character U+D800; remove it"),
        ('a: "\\0"', "line 1, column 4: the string holds the character U+0000; remove it"),
        ("a: 1\nb: \x07", "line 2, column 4: the character U+0007 is not allowed in YAML; remove it"),
        ("a: 99999999999999999999", "line 1, column 4: the number 99999999999999999999 is too large"),
        (f"a: {'9' * 5000}", "is too large"),
    ],
)
def test_text_is_refused_with_its_place(text, expected):
    assert expected in refused(text)


DEEP = {
    "open brackets": "[" * 3000,
    "brackets": "a: " + "[" * 3000 + "]" * 3000,
    "braces": "{a: " * 3000,
    "dashes": "- " * 3000,
    "question marks": "? " * 3000,
    "indents": "\n".join(" " * depth + "a:" for depth in range(1000)),
    "aliases": "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 1000)),
}
BOMBS = {
    "lists": "a0: &a0 [x, x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 20)),
    "a long string": f"a: &a {'x' * 50_000}\nb: [{', '.join(['*a'] * 1000)}]",
    "many keys": "a: &a {b: 1}\nc: {" + ", ".join(f"k{n}: *a" for n in range(40_000)) + "}",
}


@pytest.mark.parametrize("name", DEEP)
def test_deep_nesting_is_refused_before_the_stack_is_used_up(name):
    frames = sys.getrecursionlimit()
    sys.setrecursionlimit(600)
    try:
        message = refused(DEEP[name])
    finally:
        sys.setrecursionlimit(frames)
    assert f"nested deeper than {MAX_DEPTH} levels" in message


@pytest.mark.parametrize("name", BOMBS)
def test_aliases_that_stand_for_too_much_are_refused(name):
    assert f"the aliases stand for more than {MAX_ALIASED} characters" in refused(BOMBS[name])


def test_an_alias_is_a_copy():
    tree = parse("a: &x {b: [1]}\nc: *x")
    tree["a"]["b"].append(2)
    assert tree["c"] == {"b": [1]}


def test_a_file_without_an_end_is_refused(tmp_path):
    (tmp_path / "study.yaml").symlink_to("/dev/zero")
    with pytest.raises(UserError, match="more than 1048576 characters"):
        read(tmp_path / "study.yaml", ("sweep", "run"), tmp_path)


@pytest.mark.parametrize(
    ("path", "written", "expected"),
    [
        ("run.training.epochs", "1:30", "= 1:30: must be an integer"),
        ("run.training.epochs", "1_000", "= 1_000: must be an integer; write 1000 without quotes"),
        ("run.training.epochs", "1e2", "= 100.0: must be an integer; write 100"),
        ("run.dataset.name", "on", "= on: orchestrator.datasets has no on"),
        ("sweep.name", "007", "= 7: must be a string; quote it"),
        ("run.optimizer.nesterov", "off", "unknown key"),
    ],
)
def test_message_shows_what_was_written(tmp_path, path, written, expected):
    text = write(with_changes({path: "PLACE"}))
    file = tmp_path / "study.yaml"
    file.write_text(text.replace("PLACE", written))
    assert expected in refusal(file)
