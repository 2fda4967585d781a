"""Text is plain modern English: what a reader has to decode is not written, in code as in documentation."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Each with what to write instead.
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
# What is clean already. It only grows, until it is the whole repository.
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
    "tests/augment",
    "tests/bites",
    "tests/conftest.py",
    "tests/docs",
    "tests/fake_engine.py",
    "tests/fake_gpu.py",
    "tests/fuzz",
    "tests/methods",
    "tests/orchestrator",
    "tests/package",
    "tests/ranks.py",
    "tests/recorded.py",
    "tests/search_spaces",
    "tests/test_fake_gpu.py",
)


def texts(place: str) -> list[Path]:
    """The files with text for people below a place, or the place itself."""
    path = ROOT / place
    if path.is_file():
        return [path]
    return sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES or file.parent.name == ".ci")


def archaisms(text: str) -> list[str]:
    """Each line that has one, with its number and a remedy."""
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
