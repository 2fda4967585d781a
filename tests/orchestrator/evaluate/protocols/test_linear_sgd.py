import numpy as np
import pytest
import torch
from torch.nn import functional

from augment import draws
from augment.pipeline import Pipeline
from augment.views import Batch, ViewSpec
from orchestrator.evaluate.protocols import linear_sgd
from orchestrator.evaluate.protocols.linear_sgd import Config, measure, train
from orchestrator.probing.crops import RECIPE
from orchestrator.probing.features import labels_of
from tests.orchestrator.evaluate.protocols.encoders import coarse, keeping, shapes


def views_of(images, encoder, epoch):
    pipeline = Pipeline(
        {"crop": ViewSpec(("crop",), size=encoder.size)},
        {"crop": RECIPE},
        mean=encoder.mean,
        std=encoder.std,
        seed=linear_sgd.SEED,
    )
    source = Batch(torch.from_numpy(images.images).permute(0, 3, 1, 2).float() / 255)
    return pipeline(source, torch.arange(len(images)), epoch)["crop"].images


def by_hand(images, encoder, recipe: str, epochs: int, batches: int):
    """The probe in numpy, from the papers: softmax regression with momentum, in float64."""
    labels, seed = labels_of(images).numpy(), linear_sgd.SEED
    width = encoder.features(images.images[:1]).shape[1]
    weight = np.c_[0.01 * draws.normal(seed, "linear_sgd", (4, width)).double().numpy(), np.zeros(4)]
    velocity = np.zeros_like(weight)
    for epoch in range(epochs):
        rate = 30 * 0.1 ** ((epoch >= 0.6 * epochs) + (epoch >= 0.8 * epochs))
        features = encoder.network(views_of(images, encoder, epoch)).double().numpy()
        inputs = np.c_[features, np.ones(len(features))]
        for rows in np.array_split(draws.permutation(seed, epoch, len(images)).numpy(), batches):
            scores = inputs[rows] @ weight.T
            likely = np.exp(scores - scores.max(axis=1, keepdims=True))
            likely /= likely.sum(axis=1, keepdims=True)
            gradient = (likely - np.eye(4)[labels[rows]]).T @ inputs[rows] / len(rows)
            velocity = 0.9 * velocity + gradient
            weight = weight - rate * (gradient + 0.9 * velocity if recipe == "msr" else velocity)
    return weight


@pytest.mark.parametrize("recipe", ["moco", "msr"])
def test_probe_agrees_with_softmax_regression_by_hand(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(linear_sgd, "BATCH_SIZE", 20)
    encoder = keeping(lambda images: 0.05 * coarse(images))  # so small that errors of rounding do not grow
    images = shapes(encoder, tmp_path, train_size=50).images("bank")
    weight, bias = train(encoder, images, Config(recipe=recipe, epochs=5))
    expected = by_hand(images, encoder, recipe, epochs=5, batches=3)
    np.testing.assert_allclose(np.c_[weight, bias], expected, atol=1e-4 * np.abs(expected).max())


def test_probe_is_scored_after_its_last_epoch(tmp_path):
    encoder = keeping(coarse)
    data = shapes(encoder, tmp_path, train_size=40, test_size=30)
    weight, bias = train(encoder, data.images("bank"), Config(epochs=2))
    tested = data.features("test/original")
    right = functional.linear(tested.values, weight, bias).argmax(dim=1) == tested.labels
    (score,) = measure(encoder, data, Config(epochs=2))
    assert score.value == pytest.approx(100 * float(right.double().mean()))
    assert score.count == 30
    assert "moco, 2 epochs" in score.note
