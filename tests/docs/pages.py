"""The pages of the documentation, and what is in them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^|\n\n)((?: {4}.*\n)(?:(?: {4}.*)?\n)*)")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def name(page: Path) -> str:
    """What a test calls a page."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks in a language, in order."""
    return [body for tag, body in FENCE.findall(page.read_text(encoding="utf-8")) if tag == language]


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return INDENTED.sub("\n\n", FENCE.sub("", page.read_text(encoding="utf-8")))


def links(text: str) -> list[str]:
    """The targets of all links and pictures."""
    return LINK.findall(re.sub(r"`[^`\n]*`", "``", text))


def anchors(text: str) -> set[str]:
    """The anchors of all headings on which a code host and Python-Markdown agree."""
    found = set()
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        plain = re.sub(r"[^\w\s-]", "", heading.lower())
        hosted, built = plain.replace(" ", "-"), re.sub(r"[-\s]+", "-", plain)
        found |= {hosted} & {built}
    return found
