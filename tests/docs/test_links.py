"""Whatever a page links to or names exists: pages, anchors, files, modules, targets of make."""

import importlib.util
import re
from argparse import ArgumentParser

import pytest

from orchestrator.cli.commands import COMMANDS, arguments
from tests.docs.pages import PAGES, ROOT, anchors, links, name, prose

# Folders of the repository; what lies in others (`sweeps/msr`, `mylab/vicreg.py`) is the user's.
OURS = ("augment", "docs", "methods", "orchestrator", "search_spaces", "tests")
CURRENT = [page for page in PAGES if page.stem != "decisions"]  # which also names what is gone
MODULE = re.compile(r"python -m ((?:augment|methods|orchestrator|tests)(?:\.\w+)*)")
TARGET = re.compile(r"(?:^ {4}|`)make (\w+)", re.MULTILINE)


def check_link(page, target: str) -> None:
    """Fails unless a link leads somewhere; one to another host must only be well formed."""
    if re.match(r"\w+:", target):
        assert re.fullmatch(r"https://[\w.-]+\.\w+(/\S*)?", target)
        return
    path, _, anchor = target.partition("#")
    linked = (page.parent / path).resolve() if path else page
    assert linked.is_relative_to(ROOT)
    assert linked.exists(), f"{target} does not exist"
    assert not anchor or anchor in anchors(prose(linked)), f"{target} names no heading"


def test_pages_are_all_walked():
    assert len(PAGES) >= 14


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page):
    for target in links(prose(page)):
        check_link(page, target)


@pytest.mark.parametrize("page", CURRENT, ids=name)
def test_every_file_that_is_named_exists(page):
    named = re.findall(rf"`((?:{'|'.join(OURS)})/[\w./-]*)`", prose(page))
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", CURRENT, ids=name)
def test_every_command_that_is_named_exists(page):
    text = page.read_text(encoding="utf-8")
    modules = set(MODULE.findall(text))
    assert [module for module in modules if importlib.util.find_spec(module) is None] == []
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(TARGET.findall(text)) - targets == set()


@pytest.mark.parametrize("page", CURRENT, ids=name)
def test_every_option_of_augsweep_that_is_shown_exists(page):
    commands = {command: ArgumentParser() for command in COMMANDS}
    for command, parser in commands.items():
        arguments(command).add_arguments(parser)
    for command, rest in re.findall(r"(?:^ {4}|`)augsweep (\w+)([^`#\n]*)", page.read_text("utf-8"), re.MULTILINE):
        assert command in (*COMMANDS, "completion")
        shown = set(re.findall(r"--[\w-]+", rest))
        assert shown <= {"--help", *commands[command]._option_string_actions} if command in commands else not shown


def test_every_page_can_be_reached_from_the_overview():
    reached = {(ROOT / target.partition("#")[0]).resolve() for target in links(prose(ROOT / "README.md"))}
    assert set(PAGES) - reached <= {ROOT / "README.md", ROOT / "docs" / "index.md"}


@pytest.mark.parametrize("target", ["missing.md", "data.md#no-such-heading", "#nothing", "http://plain.example/"])
def test_link_that_leads_nowhere_is_found(target):
    with pytest.raises(AssertionError):
        check_link(ROOT / "docs" / "index.md", target)


def test_anchor_of_a_heading_with_signs_is_that_of_both_renderers():
    assert anchors("# A page\n\n## 2026-11-22: speed, `a_b`\n\n## One - two\n") == {"a-page", "2026-11-22-speed-a_b"}
