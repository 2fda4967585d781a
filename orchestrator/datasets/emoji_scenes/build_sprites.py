"""Renders the sprites of emoji_scenes again from their sources; not needed to use the data set.

    npm pack emoji-datasource@16.0.0 @iconify-json/noto@1.2.9 ...    all of `PACKAGES`, in some folder
    python -m orchestrator.datasets.emoji_scenes.build_sprites FOLDER [--output FOLDER]

It needs resvg-py 0.5; every package is checked against the hash below. The bytes also depend on the version of libwebp
inside Pillow, and checksums.sha256 is written accordingly.
"""

import argparse
import csv
import hashlib
import io
import json
import logging
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from augment import draws
from orchestrator.core.errors import UserError
from orchestrator.data import checked_files
from orchestrator.datasets.emoji_scenes.sprites import (
    CELL,
    CLASSES,
    FOLDER,
    GLYPHS,
    LICENCES,
    SHEET_COLUMNS,
    sheet_name,
)

log = logging.getLogger(__name__)

PACKAGES = {  # version and SHA-256
    "emoji-datasource": ("16.0.0", "2006725061dc0098daa832d65f854a7bec0740af2eb47cb5b23d89f7e2c849f9"),
    "@iconify-json/noto": ("1.2.9", "3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad"),
    "@iconify-json/noto-v1": ("1.2.5", "2bf62c26c2c2884aa99e90aec942cdaee17a5921f05690694f4978ad4b017c37"),
    "@iconify-json/fluent-emoji": ("1.2.7", "8044210dbf11e016d4de85f15d01a243423bd832457e7e2491df1b751c0e272b"),
    "@iconify-json/fluent-emoji-flat": ("1.2.6", "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175"),
    "@iconify-json/twemoji": ("1.2.5", "19046dff7d8707ce96212ec86468b36ac5f8e60409629dd13f809265c6d0ebb7"),
    "@iconify-json/emojione": ("1.2.3", "26a14f44284407e8bcde91799388dca2bfd91dbcd55a97f425524a1c5b73610e"),
    "@iconify-json/openmoji": ("1.2.29", "03181e2c156cab35cf4a62f1f7886bd971d59212e75ac3f189d5a4cae3930fc5"),
}
# Unicode's subgroups that make each class, in the order in which symbols are taken from them.
SUBGROUPS = {
    "face": (
        "face-smiling",
        "face-affection",
        "face-tongue",
        "face-hand",
        "face-neutral-skeptical",
        "face-sleepy",
        "face-unwell",
        "face-hat",
        "face-glasses",
        "face-concerned",
        "face-negative",
        "face-costume",
    ),
    "hand": (
        "hand-fingers-open",
        "hand-fingers-partial",
        "hand-single-finger",
        "hand-fingers-closed",
        "hands",
        "hand-prop",
    ),
    "mammal": ("animal-mammal",),
    "plant": ("plant-flower", "plant-other"),
    "produce": ("food-fruit", "food-vegetable"),
    "dish": ("food-prepared", "food-asian"),
    "clothing": ("clothing",),
    "building": ("place-building", "place-religious"),
    "vehicle": ("transport-air", "transport-water", "transport-ground"),
    "weather": ("sky & weather",),
}
PER_CLASS = 40  # symbols at most
LEAST_STYLES = 5  # that draw a symbol
SHARES = {"test": 0.25, "validation": 0.15}  # of each class's symbols; the others are `train`
OVERSAMPLING = 4  # of the rendering, before it is cropped and downscaled
QUALITY, ALPHA_QUALITY = 75, 60  # of WebP: colours within some 6 levels, 12 levels of coverage


@dataclass(frozen=True)
class Glyph:
    """A symbol, by its name in Iconify's collections."""

    kind: str
    part: str
    name: str


def build(packages: Path, output: Path) -> None:
    """Writes the list of symbols, all sheets and their checksums.

    Args:
        packages: a folder with the files of `npm pack`.
        output: an existing folder.

    Raises:
        UserError: if a package is missing or not the expected one.
    """
    collections = {style: _read(packages, f"@iconify-json/{style}", "icons.json") for style in LICENCES}
    emoji = _read(packages, "emoji-datasource", "emoji.json")
    glyphs = select(emoji, _read(packages, "@iconify-json/noto", "chars.json"), collections)
    with (output / GLYPHS).open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("class", "part", "name"))
        rows.writerows((glyph.kind, glyph.part, glyph.name) for glyph in glyphs)
    for style, collection in collections.items():
        _sheet(collection, glyphs).save(
            output / sheet_name(style), quality=QUALITY, alpha_quality=ALPHA_QUALITY, method=6
        )
    made = [GLYPHS, *map(sheet_name, LICENCES)]
    checked_files.write_checksums(output, made)
    log.info("%d symbols, %.2f MB", len(glyphs), sum((output / name).stat().st_size for name in made) / 1e6)


def select(emoji: list[dict[str, Any]], names: dict[str, str], collections: dict[str, Any]) -> list[Glyph]:
    """The symbols of each class that most styles draw, divided among the parts.

    Args:
        emoji: of emoji-datasource: `unified` code points, `subcategory`, `sort_order`.
        names: Iconify's name by code points.
        collections: Iconify's, by style.
    """
    glyphs: list[Glyph] = []
    for label, kind in enumerate(CLASSES):
        subgroups = SUBGROUPS[kind]
        entries = [entry for entry in emoji if entry["subcategory"] in subgroups]
        entries.sort(key=lambda entry: (subgroups.index(entry["subcategory"]), entry["sort_order"]))
        codes = [entry["unified"].lower() for entry in entries]
        found = [names.get(code) or names.get(code.replace("-fe0f", "")) for code in codes]
        styles = {
            name: sum(name in collection["icons"] for collection in collections.values()) for name in found if name
        }
        # Sorting is stable: symbols drawn by equally many styles stay in Unicode's order.
        kept = [name for name in sorted(styles, key=lambda name: -styles[name]) if styles[name] >= LEAST_STYLES]
        kept = kept[:PER_CLASS]
        order = draws.permutation(0, label, len(kept)).tolist()
        ends = [round(SHARES["test"] * len(kept)), round(sum(SHARES.values()) * len(kept))]
        parts = {place: "test" if turn < ends[0] else "validation" for turn, place in enumerate(order[: ends[1]])}
        glyphs += [Glyph(kind, parts.get(place, "train"), name) for place, name in enumerate(kept)]
    return glyphs


def _sheet(collection: dict[str, Any], glyphs: list[Glyph]) -> Image.Image:
    rows = -(-len(glyphs) // SHEET_COLUMNS)
    sheet = Image.new("RGBA", (SHEET_COLUMNS * CELL, rows * CELL))
    for place, glyph in enumerate(glyphs):
        if glyph.name in collection["icons"]:
            corner = place % SHEET_COLUMNS * CELL, place // SHEET_COLUMNS * CELL
            sheet.paste(fitted(_rendered(collection, glyph.name)), corner)
    return sheet


def _rendered(collection: dict[str, Any], name: str) -> Image.Image:
    import resvg_py  # needed only for rebuilding

    icon = collection["icons"][name]
    frame = {"left": 0, "top": 0, "width": 16, "height": 16} | collection | icon  # as Iconify's format has it
    left, top, width, height = (frame[key] for key in ("left", "top", "width", "height"))
    space = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    svg = f'<svg {space} viewBox="{left} {top} {width} {height}">{icon["body"]}</svg>'
    content = resvg_py.svg_to_bytes(svg_string=svg, width=OVERSAMPLING * CELL, skip_system_fonts=True)
    return Image.open(io.BytesIO(bytes(content))).convert("RGBA")


def fitted(image: Image.Image) -> Image.Image:
    """The drawing scaled to fill a cell, so that styles differ in the drawing and not in the margin."""
    drawing = image.crop(image.getchannel("A").getbbox())
    scale = CELL / max(drawing.size)
    size = max(1, round(scale * drawing.width)), max(1, round(scale * drawing.height))
    # Premultiplied, so that the colour of transparent pixels does not bleed into the outline.
    drawing = drawing.convert("RGBa").resize(size, Image.Resampling.LANCZOS).convert("RGBA")
    cell = Image.new("RGBA", (CELL, CELL))
    cell.paste(drawing, ((CELL - size[0]) // 2, (CELL - size[1]) // 2))
    return cell


def _read(folder: Path, package: str, member: str) -> Any:
    version, expected = PACKAGES[package]
    path = folder / f"{package.removeprefix('@').replace('/', '-')}-{version}.tgz"
    if not path.exists():
        raise UserError(f"{path} is missing: download it with `npm pack {package}@{version}`")
    content = path.read_bytes()
    actual = hashlib.sha256(content).hexdigest()
    if actual != expected:
        raise UserError(f"{path} is another version: its SHA-256 must be {expected[:12]}..., got {actual[:12]}...")
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        file = archive.extractfile(f"package/{member}")
        assert file is not None
        return json.load(file)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description="Render the sprites of emoji_scenes again from their sources.")
    parser.add_argument("packages", type=Path, help="a folder with what npm pack has fetched")
    parser.add_argument("--output", type=Path, default=FOLDER, help="an existing folder (default: next to this module)")
    options = parser.parse_args()
    build(options.packages, options.output)
