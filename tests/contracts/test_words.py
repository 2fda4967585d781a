"""Code and documentation are in plain modern English, without archaic words."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Each word with its replacement.
BANNED = {
    r"lest": "so that ... not",
    r"anew": "again",
    r"idem": "the words that are meant",
    r"told": "passed, reported, given; distinguished",
    r"nobody": "no module, no process, nothing",
    r"whence": "from which",
    r"thereof": "of it",
    r"whoever": "the caller, the user, the module that",
    r"of no influence": "ignored",
    r"what is there": "what exists",
    r"as it was": "unchanged",
    r"stands? beside": "is next to",
}
PATTERN = re.compile(rf"\b({'|'.join(BANNED)})\b", re.IGNORECASE)
SUFFIXES = {".py", ".md", ".yaml", ".yml", ".toml", ".css", ".cfg", ".cff"}
# All places with text for people; none has a banned word.
CLEAN = (
    "README.md",
    "CHANGELOG.md",
    "CITATION.cff",
    "Makefile",
    "mkdocs.yml",
    "pyproject.toml",
    ".ci",
    "augment",
    "docs",
    "methods",
    "orchestrator",
    "search_spaces",
    "tests",
)


def texts(place: str) -> list[Path]:
    """The files with text for people below a place, or the place itself; this file lists the words and is left out."""
    path = ROOT / place
    if path.is_file():
        return [path]
    found = (file for file in path.rglob("*") if file.suffix in SUFFIXES or file.parent.name == ".ci")
    return sorted(file for file in found if file != Path(__file__))


def archaisms(text: str) -> list[str]:
    """Every banned word in a text, with its line number and replacement."""
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        for match in PATTERN.finditer(line):
            remedy = next(remedy for word, remedy in BANNED.items() if re.fullmatch(word, match[0], re.IGNORECASE))
            found.append(f"line {number}: `{match[0]}`; write: {remedy}")
    return found


@pytest.mark.parametrize("place", CLEAN)
def test_text_is_plain(place):
    files = texts(place)
    assert files
    found = {str(file.relative_to(ROOT)): archaisms(file.read_text(encoding="utf-8")) for file in files}
    assert {file: lines for file, lines in found.items() if lines} == {}


def test_archaism_is_found_with_its_line_and_a_remedy():
    text = "Plain text.\nMasks are made Anew, as it was.\nUntold, lesson: neither is one.\n"
    assert archaisms(text) == ["line 2: `Anew`; write: again", "line 2: `as it was`; write: unchanged"]
