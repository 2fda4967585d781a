"""The transfer sets that are always there: what is in them, and that they ask what they say they ask."""

import numpy as np
import pytest
import torch

from orchestrator.datasets import backdrops, garments
from orchestrator.datasets.fashion_scenes import ingredients
from orchestrator.metrics.knn import knn_accuracy

SETS = [garments, backdrops]


@pytest.fixture(scope="module")
def loaded():
    """Every split that is scored or fitted on."""
    splits = ("train", "validation", "test/original")
    return {(module, split): module.load(module.Config(), split) for module in SETS for split in splits}


@pytest.mark.parametrize("module", SETS)
def test_card_tells_colours_and_classes(module, loaded):
    card, train = module.card(module.Config()), loaded[module, "train"]
    pixels = train.images[:1000].reshape(-1, 3) / 255
    np.testing.assert_allclose(pixels.mean(axis=0), card.mean, atol=0.01)
    np.testing.assert_allclose(pixels.std(axis=0), card.std, atol=0.01)
    for split in ("train", "validation", "test/original"):
        counts = np.bincount(loaded[module, split].labels, minlength=card.num_classes)
        assert (counts == counts[0]).all()


def test_garments_are_grey_on_black_in_the_middle(loaded):
    images = loaded[garments, "test/original"].images
    assert (images == images[..., :1]).all()
    assert not images[:, [0, 1, -2, -1]].any()
    assert not images[:, :, [0, 1, -2, -1]].any()
    np.testing.assert_array_equal(images[:, 2:-2, 2:-2, 0], ingredients.cutouts("test"))


def test_backdrops_are_windows_of_the_family_that_they_are_labelled_with(loaded):
    test = loaded[backdrops, "test/original"]
    windows = ingredients.windows("test")
    for row in (0, 19):
        strips = range(
            windows.first[test.labels[row]], windows.first[test.labels[row]] + windows.count[test.labels[row]]
        )
        found = [_holds(windows, strip, test.images[row]) for strip in strips]
        assert any(found)


def _holds(windows, strip, image):
    height, width = windows.room[strip]
    top = windows.top[strip]
    region = windows.canvas[top : top + height + ingredients.SIZE - 1, : width + ingredients.SIZE - 1]
    places = region.unfold(0, ingredients.SIZE, 1).unfold(1, ingredients.SIZE, 1).permute(0, 1, 3, 4, 2)
    return bool((places == torch.from_numpy(image)).flatten(2).all(dim=2).any())


@pytest.mark.parametrize(("module", "least"), [(garments, 0.75), (backdrops, 0.3)])
def test_raw_pixels_know_something_of_the_classes_but_not_all(module, least, loaded):
    bank, queries = loaded[module, "train"], loaded[module, "test/original"]
    flat = [torch.from_numpy(images.images.reshape(len(images), -1)).float() for images in (bank, queries)]
    labels = [torch.from_numpy(images.labels) for images in (bank, queries)]
    share = knn_accuracy(flat[0][:2000], labels[0][:2000], flat[1][:500], labels[1][:500], k=1, temperature=0.1)
    assert least < share < 0.95


def test_seed_moves_the_windows():
    first, second = (backdrops.load(backdrops.Config(seed=seed), "validation").images for seed in (0, 1))
    assert not np.array_equal(first, second)
    cards = [backdrops.card(backdrops.Config(seed=seed)) for seed in (0, 1)]
    assert cards[0].fingerprint != cards[1].fingerprint
