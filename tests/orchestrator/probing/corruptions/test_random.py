"""Corruptions by chance, against slow loops and against the distributions that they are drawn from."""

import numpy as np
import pytest
import torch
from scipy import ndimage, stats

from orchestrator.probing.corruptions import CORRUPTIONS, blur, corrupted, digital, noise, weather
from orchestrator.probing.corruptions.filters import gaussian_matrix, motion_blurred
from orchestrator.probing.corruptions.severities import LARGE, SMALL, published_side
from orchestrator.probing.draw import Draw
from tests.orchestrator.probing.corruptions.pictures import pictures

GRAY = torch.full((8, 3, 32, 32), 102 / 255)
ROWS = torch.arange(8)


def draw(name: str = "test", rows: torch.Tensor = ROWS) -> Draw:
    return Draw(0, rows, name)


def test_every_corruption_hardens_with_its_level_and_keeps_the_images_in_shape():
    images = pictures(8)
    for name in CORRUPTIONS:
        changes = []
        for level in (1, 5):
            changed = corrupted(images, name, level, seed=0)
            assert changed.shape == images.shape
            assert changed.dtype == np.uint8
            changes.append(np.abs(changed.astype(float) - images).mean())
        # The affine part of elastic_transform is the strongest at level 1.
        assert changes[1] > changes[0] > 0 or name == "elastic_transform", (name, changes)


@pytest.mark.parametrize("name", ["gaussian_noise", "glass_blur", "snow", "frost", "fog", "elastic_transform"])
def test_corruption_of_an_image_depends_on_its_row_and_nothing_else(name, monkeypatch):
    images = pictures(6)
    together = corrupted(images, name, 3, seed=0)
    monkeypatch.setattr("orchestrator.probing.corruptions.PIXELS_AT_ONCE", 2 * 32 * 32)
    assert np.array_equal(together, corrupted(images, name, 3, seed=0))
    assert np.array_equal(together[:3], corrupted(images[:3], name, 3, seed=0))
    same = corrupted(np.stack([images[0]] * 2), name, 3, seed=0)
    assert not np.array_equal(same[0], same[1])
    assert not np.array_equal(together, corrupted(images, name, 3, seed=1))


def test_gaussian_noise_is_normal():
    added = (noise.gaussian_noise(GRAY, draw(), 0.1) - GRAY).flatten().numpy() / 0.1
    assert stats.kstest(added, "norm").pvalue > 0.01


@pytest.mark.parametrize("photons", [3.0, 60.0, 500.0])
def test_shot_noise_is_poisson(photons):
    counts = (noise.shot_noise(GRAY, draw(), photons) * photons).round().long().flatten().numpy()
    seen = np.bincount(counts, minlength=int(photons) + 100)
    expected = stats.poisson.pmf(np.arange(len(seen)), photons * 0.4) * len(counts)
    likely = expected > 5
    assert seen[~likely].sum() < 0.01 * len(counts)
    squares = (seen[likely] - expected[likely]) ** 2 / expected[likely]
    assert stats.chi2.sf(squares.sum(), likely.sum() - 1) > 0.001


def test_shot_noise_leaves_black_black():
    assert not noise.shot_noise(torch.zeros(2, 3, 8, 8), draw(rows=ROWS[:2]), 60.0).any()


def test_impulse_noise_makes_as_much_salt_as_pepper():
    changed = noise.impulse_noise(GRAY, draw(), 0.2)
    salt, pepper = (changed == 1).float().mean(), (changed == 0).float().mean()
    assert salt.item() == pytest.approx(0.1, abs=0.01)
    assert pepper.item() == pytest.approx(0.1, abs=0.01)
    assert (changed == GRAY).float().mean().item() == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize("reach", [1, 3])
def test_glass_blur_copies_pixels_one_by_one(reach):
    images = torch.from_numpy(pictures(2, 16)).permute(0, 3, 1, 2).float() / 255
    ours = blur.glass_blur(images, draw(rows=ROWS[:2]), 0.05, reach, 2)  # so narrow a Gaussian changes nothing
    expected = (255 * images).round().numpy()
    for turn in range(2):
        offsets = (2 * reach * draw(rows=ROWS[:2]).uniform(f"offset {turn}", 2, 256)).long().numpy() - reach
        offsets = offsets.reshape(2, 2, 16, 16)
        for image in range(2):
            for row in range(16 - reach, reach, -1):
                for column in range(16 - reach, reach, -1):
                    down, along = offsets[image, :, row, column]
                    expected[image, :, row, column] = expected[image, :, row + down, column + along]
    np.testing.assert_allclose(ours * 255, expected, atol=1.01)  # fractions are cut off between the blurs
    assert np.abs(expected - 255 * images.numpy()).mean() > 10


@pytest.mark.parametrize(
    ("sigma", "truncate", "edge"), [(0.7, 4.0, "nearest"), (5.0, 3.0, "reflect"), (40.0, 3.0, "reflect")]
)
def test_gaussian_matrix_filters_as_scipy_does(sigma, truncate, edge):
    signal = np.random.default_rng(0).random((3, 20))
    ours = torch.from_numpy(signal).float() @ gaussian_matrix(20, sigma, truncate=truncate, edge=edge).mT
    expected = ndimage.gaussian_filter1d(signal, sigma, mode=edge, truncate=truncate)
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_motion_blur_smears_a_dot_along_its_angle():
    dot = torch.zeros(3, 1, 33, 33)
    dot[:, :, 16, 16] = 1
    smeared = motion_blurred(dot, torch.tensor([0.0, 90.0, 45.0]), radius=4, sigma=2.0)[:, 0]
    weights = np.exp(-0.5 * (np.arange(9) / 2) ** 2)
    weights = torch.from_numpy(weights / weights.sum()).float()
    torch.testing.assert_close(smeared[0, 16, 8:17].flip(0), weights)
    torch.testing.assert_close(smeared[1, 8:17, 16].flip(0), weights)
    assert smeared[2].sum() == pytest.approx(1)
    assert (smeared[2].nonzero()[:, 0] == smeared[2].nonzero()[:, 1]).all()


def test_elastic_transform_at_rest_is_the_identity_and_moves_points_where_it_says():
    images = torch.from_numpy(pictures(8)).permute(0, 3, 1, 2).float() / 255
    torch.testing.assert_close(digital.elastic_transform(images, draw(), 0.0, 0.0, 0.0), images, atol=1e-4, rtol=0)
    # A lone dot on one of the three points goes where the point goes.
    dots = torch.zeros(8, 3, 32, 32)
    dots[:, :, 26, 26] = 1  # the point at (26, 26): the middle and a third of the side
    moved = digital.elastic_transform(dots, draw(), 0.0, 0.0, 0.06)[:, 0]
    pixel = torch.arange(32.0)
    x = (moved.sum(1) * pixel).sum(1) / moved.sum((1, 2))
    y = (moved.sum(2) * pixel).sum(1) / moved.sum((1, 2))
    shift = draw().between(-0.06 * 32, 0.06 * 32, "corner", 3, 2)[:, 0]
    torch.testing.assert_close(torch.stack((x, y), dim=1), 26 + shift, atol=0.3, rtol=0)


def test_clouds_and_crystals_have_the_range_that_they_promise():
    cloud = weather.fog(torch.ones(8, 3, 24, 24), draw(), 1.0, 2.0)
    assert cloud.min() == pytest.approx(0.5, abs=0.02)  # nothing of the cloud: 1 / (1 + density)
    assert cloud.max() <= 1
    crystals = weather.frost(torch.zeros(8, 3, 64, 64), draw(), 0.0, 1.0)
    gray = crystals.mean(dim=(1, 2, 3))
    assert ((gray > 0.4) & (gray < 0.85)).all()
    assert (crystals.std(dim=(2, 3)) > 0.05).all()
    assert (crystals[:, 2].mean() > crystals[:, 0].mean()).all()


def test_tables_are_chosen_by_the_nearer_size_and_have_five_levels_each():
    assert [published_side(side) for side in (16, 32, 64, 84, 85, 96, 224, 448)] == [32] * 4 + [224] * 4
    for table in (SMALL, LARGE):
        assert list(table) == list(CORRUPTIONS)
        assert all(len(levels) == 5 for levels in table.values())
