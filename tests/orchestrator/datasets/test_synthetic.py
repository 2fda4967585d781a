import numpy as np
import pytest

from orchestrator.datasets import synthetic


def test_masks_have_the_areas_of_their_shapes():
    config = synthetic.Config(size=128, num_classes=8, train_size=400)
    images = synthetic.load(config, "train")
    area = images.masks.sum((1, 2)) / 255
    across = (images.masks > 127).any(1).sum(1)  # pixels, the shape's width
    exact = {0: np.pi / 4, 1: 1.0, 2: 0.5, 4: 0.35 * (2 - 0.35), 5: np.pi / 4 * (1 - 0.5**2), 6: 0.35}
    for label, share in exact.items():
        mine = images.labels == label
        np.testing.assert_allclose((area[mine] / across[mine] ** 2).mean(), share, rtol=0.05)


@pytest.mark.parametrize("size", [8, 33, 96])
def test_shapes_lie_inside_images_of_any_size(size):
    images = synthetic.load(synthetic.Config(size=size, num_classes=8, train_size=64), "train")
    assert images.images.shape == (64, size, size, 3)
    assert (images.masks.max((1, 2)) > 127).all()
    border = np.ones((size, size), bool)
    border[1:-1, 1:-1] = False
    assert images.masks[:, border].max() <= 128  # a soft edge at most


def test_foreground_has_one_colour_and_the_background_many():
    images = synthetic.load(synthetic.Config(), "train")
    for image, mask in zip(images.images, images.masks, strict=True):
        assert np.ptp(image[mask == 255].astype(int), axis=0).max() <= 1
        assert image[mask == 0].std(0).min() > 4


@pytest.mark.parametrize("size", [8, 33])
def test_images_are_bitwise_those_drawn_in_one_piece(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    config = synthetic.Config(size=size, num_classes=8, train_size=45)
    whole = synthetic.load(config, "train")
    monkeypatch.setattr(synthetic, "_CHUNK", 7 * size * size)
    pieces = synthetic.load(config, "train")
    np.testing.assert_array_equal(pieces.images, whole.images)
    np.testing.assert_array_equal(pieces.masks, whole.masks)


def test_splits_and_seeds_differ_and_bank_is_train():
    config = synthetic.Config(train_size=128)
    splits = {split: synthetic.load(config, split).images for split in ("train", "validation", "test/original")}
    assert len({images.tobytes() for images in splits.values()}) == 3
    np.testing.assert_array_equal(synthetic.load(config, "bank").images, splits["train"])
    assert (synthetic.load(synthetic.Config(train_size=128, seed=1), "train").images != splits["train"]).mean() > 0.5


def test_card_has_the_moments_of_the_training_images():
    images = synthetic.load(synthetic.Config(train_size=1000), "train").images / 255
    card = synthetic.card(synthetic.Config())
    np.testing.assert_allclose(images.mean((0, 1, 2)), card.mean, atol=0.02)
    np.testing.assert_allclose(images.std((0, 1, 2)), card.std, atol=0.02)


@pytest.mark.parametrize("change", [{"size": 16}, {"num_classes": 5}, {"train_size": 9}, {"test_size": 9}, {"seed": 1}])
def test_fingerprint_changes_with_every_setting(change):
    assert synthetic.card(synthetic.Config(**change)).fingerprint != synthetic.card(synthetic.Config()).fingerprint
