"""Draws docs/pictures/layers.svg: the packages and rooms in the order that import-linter enforces.

    python docs/tools/layers.py

The order is the contract's in pyproject.toml, the captions are the first lines of the packages' docstrings.
"""

import ast
import re
import tomllib
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "pictures" / "layers.svg"
WIDTH, MARGIN, HEIGHT, GAP = 900, 16, 44, 8  # pixels
CHARACTER = 5.7  # mean width in pixels of what captions are made of
FONT = "font-family='Helvetica, Arial, sans-serif'"


def rooms(root: Path = ROOT) -> list[list[str]]:
    """The layers of `orchestrator`, top to bottom, each with its independent rooms side by side."""
    contracts = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (contract,) = (one for one in contracts if one.get("containers") == ["orchestrator"])
    rows = [re.findall(r"\w+", layer) for layer in contract["layers"]]
    there = [[room for room in row if _source(root, f"orchestrator/{room}") is not None] for row in rows]
    return [row for row in there if row]  # a layer in parentheses may be missing


def caption(name: str, root: Path = ROOT) -> str:
    """The first line of a package's or module's docstring.

    Raises:
        ValueError: if it has none.
    """
    source = _source(root, name)
    text = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) if source else None
    if not text:
        raise ValueError(f"{name} has no docstring: say in one line what a module in it may know")
    return text.splitlines()[0]


def draw(root: Path = ROOT) -> str:
    """The picture as SVG text."""
    stack = rooms(root)
    inner = len(stack) * (HEIGHT + GAP) + GAP + 28
    parts = [_box(MARGIN, MARGIN, WIDTH - 2 * MARGIN, inner, "#eef2fb", "#8fa3cc")]
    parts.append(_text(MARGIN + 12, MARGIN + 21, "orchestrator", size=15, weight="bold"))
    parts.append(_text(WIDTH - MARGIN - 12, MARGIN + 21, "a layer may import the layers below it", anchor="end"))
    top = MARGIN + 28 + GAP
    for row in stack:
        width = (WIDTH - 4 * MARGIN - GAP * (len(row) - 1)) / len(row)
        for place, room in enumerate(row):
            left = 2 * MARGIN + place * (width + GAP)
            parts += _labelled(left, top, width, room, caption(f"orchestrator/{room}", root), "#ffffff", "#8fa3cc")
        top += HEIGHT + GAP
    top = MARGIN + inner + 2 * GAP
    for name, fill, line in (("methods", "#edf7ee", "#86b58b"), ("augment", "#fdf4e7", "#d3a760")):
        parts += _labelled(MARGIN, top, WIDTH - 2 * MARGIN, name, caption(name, root), fill, line)
        top += HEIGHT + 2 * GAP
    height = top - 2 * GAP + MARGIN
    head = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' width='{WIDTH}' height='{height}'>"
    return "\n".join([head, f"<rect width='{WIDTH}' height='{height}' fill='#ffffff'/>", *parts, "</svg>", ""])


def _source(root: Path, name: str) -> Path | None:
    candidates = (root / name / "__init__.py", root / f"{name}.py")
    return next((path for path in candidates if path.is_file()), None)


def _box(left: float, top: float, width: float, height: float, fill: str, line: str) -> str:
    where = f"x='{left:g}' y='{top:g}' width='{width:g}' height='{height:g}'"
    return f"<rect {where} rx='6' fill='{fill}' stroke='{line}'/>"


def _text(left: float, top: float, text: str, *, size: int = 12, weight: str = "normal", anchor: str = "start") -> str:
    style = f"{FONT} font-size='{size}' font-weight='{weight}' text-anchor='{anchor}' fill='#1d2433'"
    return f"<text x='{left:g}' y='{top:g}' {style}>{escape(text)}</text>"


def _labelled(left: float, top: float, width: float, name: str, what: str, fill: str, line: str) -> list[str]:
    if len(what) > (width - 24) / CHARACTER:
        raise ValueError(f"the first docstring line of {name} has {len(what)} characters, too many for its box: {what}")
    return [
        _box(left, top, width, HEIGHT, fill, line),
        _text(left + 12, top + 18, name, size=14, weight="bold"),
        _text(left + 12, top + 35, what),
    ]


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
