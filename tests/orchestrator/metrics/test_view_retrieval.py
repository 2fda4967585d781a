import numpy as np
import pytest
import torch

from orchestrator.data.images import ImageSet
from orchestrator.datasets import synthetic
from orchestrator.metrics import view_retrieval
from orchestrator.metrics.view_retrieval import retrieval_recall, standard_views
from orchestrator.probing import views
from orchestrator.probing.features import pixel_features

GOLDEN = (3_934_743, 3_926_582)  # sum of all bytes of either view


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return synthetic.load(synthetic.Config(size=16, validation_size=60), "validation").images


def test_retrieval_recall_counts_both_directions():
    first = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    second = torch.tensor([[2.0, 0.1], [0.6, 0.8], [0.1, 5.0]])
    # Forward: 0 -> 0 right, 1 -> 2 wrong, 2 -> 1 wrong. Backward: 0 -> 0 right, 1 -> 2 wrong, 2 -> 1 wrong.
    assert retrieval_recall(first, second) == pytest.approx(1 / 3)
    # Forward both rows choose 0; backward each finds its own.
    assert retrieval_recall(torch.tensor([[1.0, 0.0], [0.9, 0.1]]), torch.tensor([[1.0, 0.0], [-1.0, 0.0]])) == 0.75


def test_retrieval_recall_of_the_same_features_is_one_and_of_collapsed_ones_is_chance():
    features = torch.tensor(np.random.default_rng(0).normal(size=(50, 8)))
    assert retrieval_recall(features, features.flip(0).flip(0)) == 1
    assert retrieval_recall(torch.ones(50, 8), torch.ones(50, 8)) == pytest.approx(1 / 50)


def test_standard_views_are_fixed_augmented_and_unalike(images):
    first, second = standard_views(images)
    again, _ = standard_views(images)
    assert first.dtype == np.uint8
    assert first.shape == images.shape
    assert np.array_equal(first, again)
    for view, other in ((first, images), (second, images), (first, second)):
        assert np.mean(np.any(view != other, axis=(1, 2, 3))) > 0.95


def test_standard_views_do_not_depend_on_their_neighbours(images, monkeypatch):
    whole, _ = standard_views(images)
    monkeypatch.setattr(views, "CHUNK", 7)
    chunked, _ = standard_views(images[:40])
    assert np.abs(whole[:40].astype(int) - chunked).max() <= 1  # rounding of a batched product


def test_standard_views_are_those_of_the_first_release():
    """The protocol's name promises that its views never change; this fails when an op, a draw or the recipe does."""
    ramps = (np.arange(40 * 16 * 16 * 3) % 251).astype(np.uint8).reshape(40, 16, 16, 3)
    sums = [int(view.astype(np.int64).sum()) for view in standard_views(ramps)]
    assert sums == [pytest.approx(GOLDEN[0], rel=1e-4), pytest.approx(GOLDEN[1], rel=1e-4)]


def test_view_retrieval_finds_pixels_above_chance(images):
    metrics = view_retrieval.evaluate(
        pixel_features((0.5,) * 3, (0.25,) * 3), {"validation": ImageSet(images)}, view_retrieval.Config()
    )
    assert metrics["view_retrieval/1"] > 100 * 3 / 60
