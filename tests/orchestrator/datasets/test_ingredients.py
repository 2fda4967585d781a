import hashlib
import io
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from orchestrator.core.errors import UserError
from orchestrator.data import checked_files
from orchestrator.datasets import fashion_scenes
from orchestrator.datasets.fashion_scenes import ingredients
from orchestrator.datasets.fashion_scenes.build_ingredients import cut_out

PARTS = ("train", "validation", "test")
FILES = sorted(ingredients.checksums())


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the ingredients that a test may damage."""
    for name in (*FILES, checked_files.CHECKSUMS):
        shutil.copy(ingredients.FOLDER / name, tmp_path / name)
    monkeypatch.setattr(ingredients, "FOLDER", tmp_path)
    return tmp_path


def test_cutouts_are_disjoint_over_all_parts():
    digests = [hashlib.sha256(one.tobytes()).digest() for part in PARTS for one in ingredients.cutouts(part)]
    assert len(digests) == len(set(digests)) == 8000 + 2000 + 2000


def test_cutouts_have_plausible_areas():
    for part in PARTS:
        area = (ingredients.cutouts(part) > 0).mean((1, 2))
        assert area.min() >= 0.05
        assert area.max() <= 0.85


def test_strips_of_different_parts_never_touch():
    for path in sorted(ingredients.FOLDER.glob("photo_*.webp")):
        width = read(path).width
        owner = np.full(width, "", dtype=object)
        for part, strips in ingredients.STRIPS.items():
            for left, right in strips:
                columns = slice(round(left * width), round(right * width))
                assert (owner[columns] == "").all()
                owner[columns] = part
        for here, there in pairwise(owner):
            assert here == there or "" in (here, there)


@pytest.mark.parametrize("part", PARTS)
def test_windows_are_cut_out_of_one_strip_of_their_family(part):
    families = torch.arange(10).repeat(20)
    u = torch.from_numpy(np.random.default_rng(0).random((200, 3), dtype=np.float32))
    u[:10], u[10:20] = 0.0, 1 - 2**-24
    cut = ingredients.windows(part).cut(families, u)
    for window, family, (which, down, across) in zip(cut, families, u.tolist(), strict=True):
        strips = list(_strips(ingredients.FAMILIES[family], part))
        strip = strips[int(which * len(strips))]
        y, x = int(down * (strip.height - 31)), int(across * (strip.width - 31))
        expected = strip.crop((x, y, x + 32, y + 32))
        np.testing.assert_array_equal(window.numpy(), np.asarray(expected))
        assert y + 32 <= strip.height
        assert x + 32 <= strip.width


def read(path: Path) -> Image.Image:
    return Image.open(io.BytesIO(path.read_bytes())).convert("RGB")


def _strips(family: str, part: str):
    """Plainly: every photograph of the family, every strip, every zoom."""
    for path in sorted(ingredients.FOLDER.glob(f"photo_{family}_*.webp")):
        photo = read(path)
        for left, right in ingredients.STRIPS[part]:
            strip = photo.crop((round(left * photo.width), 0, round(right * photo.width), photo.height))
            for zoom in (1.0, 0.75, 0.5):
                yield strip.resize((round(strip.width * zoom), round(strip.height * zoom)), Image.Resampling.BOX)


def test_windows_offer_each_family_hundreds_of_places():
    windows = ingredients.windows("train")
    for first, count in zip(windows.first, windows.count, strict=True):
        assert windows.room[first : first + count].prod(1).sum() > 10_000


@pytest.mark.parametrize("name", [*FILES[:4], FILES[-1]])
def test_damaged_ingredient_is_refused_by_name(copy, name):
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    part = name.removeprefix("cutouts_").removesuffix(".png")
    split = {"test": "test/original", "validation": "validation"}.get(part, "train")
    with pytest.raises(UserError, match=rf"{name} is damaged: its SHA-256 must be .* `git checkout -- "):
        fashion_scenes.load(fashion_scenes.Config(train_size=10), split)


@pytest.mark.parametrize("name", ["cutouts_train.png", "photo_brick_1.webp", checked_files.CHECKSUMS])
def test_missing_ingredient_is_refused_by_name(copy, name):
    (copy / name).unlink()
    with pytest.raises(UserError, match=rf"{name} is missing; .* `git checkout -- "):
        fashion_scenes.load(fashion_scenes.Config(train_size=10), "train")


@pytest.mark.parametrize("content", [b"", b"\xff\x00 nonsense", b"0 1 2 3\n"])
def test_damaged_checksums_are_refused(copy, content):
    (copy / checked_files.CHECKSUMS).write_bytes(content)
    with pytest.raises(UserError, match=r"cutouts_train.png is damaged: its SHA-256 must be unknown \(from checksums"):
        fashion_scenes.load(fashion_scenes.Config(train_size=10), "train")


def test_card_needs_the_checksums_only(copy):
    card = fashion_scenes.card(fashion_scenes.Config())
    for name in FILES:
        (copy / name).unlink()
    assert fashion_scenes.card(fashion_scenes.Config()) == card


def test_fingerprint_changes_with_an_ingredient(copy):
    before = fashion_scenes.card(fashion_scenes.Config()).fingerprint
    text = (copy / checked_files.CHECKSUMS).read_text()
    (copy / checked_files.CHECKSUMS).write_text(("1" if text[0] == "0" else "0") + text[1:])
    assert fashion_scenes.card(fashion_scenes.Config()).fingerprint != before


def test_ingredients_are_all_attributed_and_small():
    attribution = (ingredients.FOLDER / "ATTRIBUTION.md").read_text()
    photos = [name for name in FILES if name.startswith("photo_")]
    assert all(f"`{name.removesuffix('.webp')}`" in attribution for name in photos)
    stored = {path.name for pattern in ("*.png", "*.webp") for path in ingredients.FOLDER.glob(pattern)}
    assert stored - {"variants.png"} == set(FILES)
    assert sum((ingredients.FOLDER / name).stat().st_size for name in FILES) < 7.5e6


def test_cut_out_fills_small_holes_and_keeps_large_ones():
    product = np.full((28, 28), 200, np.uint8)
    product[:4] = 0
    product[8:11, 8:11] = 5  # 9 pixels: dark product
    product[15:19, 15:19] = 5  # 16 pixels: a real gap
    product[24:28, 3:5] = 0  # 8 pixels, open to the border: a notch
    cut = cut_out(product)
    assert (cut[8:11, 8:11] == 5).all()
    assert (cut[15:19, 15:19] == 0).all()
    assert (cut[24:28, 3:5] == 0).all()
    assert (cut[:4] == 0).all()


def test_cut_out_keeps_black_pixels_inside_as_product():
    product = np.full((28, 28), 200, np.uint8)
    product[10, 10] = 0
    assert cut_out(product)[10, 10] == 1


def test_cut_out_drops_specks_and_residue():
    image = np.full((28, 28), 12, np.uint8)
    image[10:20, 10:20] = 100
    image[2:4, 2:5] = 90  # 6 pixels
    image[24:26, 2:6] = 90  # 8 pixels
    cut = cut_out(image)
    assert (cut > 0).sum() == 100 + 8
    assert (cut[2:4, 2:5] == 0).all()
