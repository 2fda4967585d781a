import csv
import io
import shutil
from collections import Counter
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image

from orchestrator.core.errors import UserError
from orchestrator.data import checked_files
from orchestrator.datasets import emoji_scenes
from orchestrator.datasets.emoji_scenes import build_sprites, composition, sprites
from orchestrator.datasets.fashion_scenes import ingredients

SMALL = {"train_size": 50, "validation_size": 50, "test_size": 50}


@pytest.fixture(autouse=True, scope="module")
def _photographs_are_decoded_once():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ingredients, "windows", cache(ingredients.windows))
        yield


@pytest.fixture(scope="module")
def glyphs():
    return list(csv.DictReader(io.StringIO((sprites.FOLDER / sprites.GLYPHS).read_text())))


@pytest.fixture(scope="module")
def by_split():
    return {split: sprites.load(*which, 32) for split, which in emoji_scenes.SPRITES.items()}


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the files that a test may damage."""
    for name in (*checked_files.checksums(sprites.FOLDER), checked_files.CHECKSUMS):
        shutil.copy(sprites.FOLDER / name, tmp_path / name)
    monkeypatch.setattr(sprites, "FOLDER", tmp_path)
    return tmp_path


def test_every_symbol_has_one_class_and_one_part(glyphs):
    assert len({glyph["name"] for glyph in glyphs}) == len(glyphs) == 379
    for part, least in (("train", 15), ("validation", 4), ("test", 7)):
        counts = Counter(glyph["class"] for glyph in glyphs if glyph["part"] == part)
        assert set(counts) == set(emoji_scenes.CLASSES)
        assert min(counts.values()) >= least


def test_what_is_called_unseen_is_not_in_the_training_sprites(by_split):
    drawings = {split: {sprite.numpy().tobytes() for sprite in found.pixels} for split, found in by_split.items()}
    assert drawings["train"] == drawings["test/original"]
    for split in set(drawings) - {"train", "test/original"}:
        for other in set(drawings) - {split}:
            assert not drawings[split] & drawings[other], (split, other)


def test_styles_of_one_outline_are_on_one_side():
    seen, unseen = set(sprites.SEEN_STYLES), set(sprites.UNSEEN_STYLES)
    assert {"fluent-emoji", "fluent-emoji-flat"} <= seen
    assert not seen & unseen
    assert seen | unseen == set(sprites.LICENCES)


def test_splits_show_what_the_list_says(glyphs, by_split):
    """Read plainly, cell by cell."""
    rows = {part: [row for row, glyph in enumerate(glyphs) if glyph["part"] == part] for part in ("train", "test")}
    for split, (part, styles) in emoji_scenes.SPRITES.items():
        if split in ("validation", "train"):
            continue
        classes = []
        for style in styles:
            sheet = Image.open(sprites.FOLDER / sprites.sheet_name(style))
            for row in rows[part]:
                left, top = 56 * (row % 20), 56 * (row // 20)
                if sheet.crop((left, top, left + 56, top + 56)).getchannel("A").getextrema()[1] > 0:
                    classes.append(emoji_scenes.CLASSES.index(glyphs[row]["class"]))
        assert by_split[split].classes.tolist() == classes, split


@pytest.mark.parametrize("split", ["train", "test/unseen_both"])
def test_sprites_of_a_class_are_shown_equally_often(by_split, split):
    classes = by_split[split].classes
    shown = composition.taken_in_turn(classes, 2000, seed=3)
    assert (classes[shown] == torch.arange(2000) % 10).all()
    for label in range(10):
        counts = torch.bincount(shown, minlength=len(classes))[classes == label]
        assert counts.max() - counts.min() <= 1
    first = shown[:100:10]
    assert (first.diff() < 0).any(), "in the order of the sheets, a small split would show one style"


def test_small_scene_shows_what_a_large_one_shows():
    """A sprite shrunk for a scene of 32 pixels is the sprite of a scene of 64, premultiplied and averaged."""
    large, small = sprites.load("test", ("openmoji",), 64), sprites.load("test", ("openmoji",), 32)
    means = large.pixels.unflatten(1, (28, 2)).unflatten(3, (28, 2)).float().mean((2, 4))
    assert (small.pixels - means).abs().max() <= 1.01
    assert (large.pixels[..., :3] <= large.pixels[..., 3:]).all(), "premultiplied"


@pytest.mark.parametrize("size", [32, 64])
def test_composite_is_sprite_over_background(size):
    found, windows = sprites.load("test", ("openmoji",), size), ingredients.windows("test", size)
    made = composition.compose(found, windows, 20, split="same draws", rho=1.0, seed=3)
    bare = sprites.Sprites(torch.zeros_like(found.pixels), found.classes)
    background = composition.compose(bare, windows, 20, split="same draws", rho=1.0, seed=3)
    covered = made.masks == 255
    assert (background.masks == 0).all()
    np.testing.assert_array_equal(made.images[made.masks == 0], background.images[made.masks == 0])
    assert 0.15 < (made.masks > 127).mean() < 0.7
    # Where the sprite hides all, another background changes nothing.
    other = composition.compose(found, ingredients.windows("train", size), 20, split="same draws", rho=0.0, seed=3)
    np.testing.assert_allclose(made.images[covered].astype(int), other.images[covered].astype(int), atol=1)
    assert (made.images != other.images).any(-1)[made.masks == 0].mean() > 0.5


def test_sprite_keeps_its_colours(by_split):
    """A sprite of one colour is placed without a tint."""
    flat = torch.zeros(10, 28, 28, 4, dtype=torch.uint8)
    flat[...] = torch.tensor([200, 100, 50, 255], dtype=torch.uint8)
    made = composition.compose(
        sprites.Sprites(flat, torch.arange(10)), ingredients.windows("test"), 10, split="x", rho=0.0, seed=0
    )
    assert made.masks is not None
    assert set(map(tuple, made.images[made.masks == 255])) == {(200, 100, 50)}


@pytest.mark.parametrize(
    ("split", "rho", "share"),
    [("train", 1.0, 1.0), ("train", 0.0, 0.1), ("bank", 1.0, 0.1), ("test/original", 1.0, 0.1)],
)
def test_background_is_tied_to_the_class_in_training_alone(monkeypatch, split, rho, share):
    families = []
    cut = ingredients.Windows.cut

    def watched(self, chosen, u):
        families.append(chosen)
        return cut(self, chosen, u)

    monkeypatch.setattr(ingredients.Windows, "cut", watched)
    images = emoji_scenes.load(emoji_scenes.Config(rho=rho, train_size=1000), split)
    own = (torch.cat(families).numpy() == images.labels).mean()
    assert abs(own - share) <= 4 * (share * (1 - share) / 1000) ** 0.5


@pytest.mark.parametrize(
    ("split", "part"), [("bank", "train"), ("validation", "validation"), ("test/original", "test")]
)
def test_split_takes_strips_of_its_own_part_only(monkeypatch, split, part):
    taken = []
    windows = ingredients.windows
    monkeypatch.setattr(ingredients, "windows", lambda part, size: (taken.append(part), windows(part, size))[1])
    emoji_scenes.load(emoji_scenes.Config(**SMALL), split)
    assert taken == [part]


def test_size_is_that_of_the_sprites_or_half():
    sizes = {size: emoji_scenes.card(emoji_scenes.Config(size=size)) for size in (16, 32, 33, 64, 224)}
    assert [card.size for card in sizes.values()] == [32, 32, 64, 64, 64]
    assert sizes[64].fingerprint == sizes[224].fingerprint != sizes[32].fingerprint
    images = emoji_scenes.load(emoji_scenes.Config(size=224, test_size=10), "test/unseen_both")
    assert images.images.shape == (10, 64, 64, 3)


@pytest.mark.parametrize("split", ["train", "test/unseen_both"])
def test_load_is_repeatable_and_depends_on_the_seed(split):
    config = emoji_scenes.Config(**SMALL)
    first, again = emoji_scenes.load(config, split), emoji_scenes.load(config, split)
    other = emoji_scenes.load(config.model_copy(update={"seed": 1}), split)
    np.testing.assert_array_equal(first.images, again.images)
    assert (first.images != other.images).mean() > 0.5


def test_smaller_split_is_the_beginning_of_a_larger_one():
    # The larger one is composed in two blocks.
    small = emoji_scenes.load(emoji_scenes.Config(train_size=2000), "train")
    large = emoji_scenes.load(emoji_scenes.Config(train_size=2100), "train")
    np.testing.assert_array_equal(small.images, large.images[:2000])


def test_every_split_has_draws_of_its_own():
    masks = [
        emoji_scenes.load(emoji_scenes.Config(**SMALL), split).masks for split in ("train", "bank", "test/original")
    ]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert (masks[one] != masks[other]).any(axis=(1, 2)).mean() > 0.95


def test_card_has_the_moments_of_the_training_images():
    images = emoji_scenes.load(emoji_scenes.Config(train_size=2000), "train").images / 255
    card = emoji_scenes.card(emoji_scenes.Config())
    np.testing.assert_allclose(images.mean((0, 1, 2)), card.mean, atol=0.015)
    np.testing.assert_allclose(images.std((0, 1, 2)), card.std, atol=0.015)


def test_card_tells_how_many_sprites_there_are(by_split):
    (remark,) = emoji_scenes.card(emoji_scenes.Config()).remarks
    assert all(str(len(found.classes)) in remark for split, found in by_split.items() if split != "validation")


@pytest.mark.parametrize("name", [sprites.GLYPHS, "openmoji.CC-BY-SA-4.0.webp"])
def test_damaged_or_missing_file_is_refused_by_name(copy, name):
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"{name} is damaged: its SHA-256 must be"):
        emoji_scenes.load(emoji_scenes.Config(**SMALL), "test/unseen_both")
    (copy / name).unlink()
    with pytest.raises(UserError, match=rf"{name} is missing; restore it"):
        emoji_scenes.verify(emoji_scenes.Config())


def test_sheets_are_all_attributed_with_their_licences_and_small():
    attribution = (sprites.FOLDER / "ATTRIBUTION.md").read_text()
    stored = sorted(path.name for path in sprites.FOLDER.glob("*.webp"))
    assert stored == sorted(map(sprites.sheet_name, sprites.LICENCES))
    assert {*stored, sprites.GLYPHS} == set(checked_files.checksums(sprites.FOLDER))
    for style, licence in sprites.LICENCES.items():
        (line,) = (line for line in attribution.splitlines() if line.startswith(f"| `{sprites.sheet_name(style)}` |"))
        assert licence in line
    assert sum((sprites.FOLDER / name).stat().st_size for name in stored) < 2.5e6


def test_symbols_are_chosen_by_how_many_styles_draw_them():
    subgroups = build_sprites.SUBGROUPS
    emoji = [
        {"unified": f"{kind}-{place}-FE0F".upper(), "subcategory": subgroups[kind][0], "sort_order": -place}
        for kind in emoji_scenes.CLASSES
        for place in range(60)
    ]
    names = {entry["unified"].lower().replace("-fe0f", ""): entry["unified"].lower() for entry in emoji}
    common = set(list(names.values())[::2])  # every other one; the rest is drawn in four styles alone
    drawn = [set(names.values())] * 4 + [common] * 3
    styles = {style: {"icons": known} for style, known in zip(sprites.LICENCES, drawn, strict=True)}
    chosen = build_sprites.select(emoji, names, styles)
    assert [glyph.name for glyph in chosen] == [
        f"{kind}-{place}-fe0f" for kind in emoji_scenes.CLASSES for place in range(58, -1, -2)
    ]
    assert Counter(glyph.part for glyph in chosen) == {"train": 180, "validation": 40, "test": 80}


def test_drawing_fills_its_cell_and_keeps_its_proportions():
    image = Image.new("RGBA", (224, 224), (255, 255, 255, 0))
    image.paste((200, 10, 10, 255), (100, 50, 140, 130))  # twice as high as wide, off the middle
    cell = np.asarray(build_sprites.fitted(image))
    opaque = np.argwhere(cell[..., 3] == 255)
    assert opaque.min(0).tolist() == [0, 14]
    assert opaque.max(0).tolist() == [55, 41]
    assert (cell[cell[..., 3] == 255][:, :3] == (200, 10, 10)).all()
