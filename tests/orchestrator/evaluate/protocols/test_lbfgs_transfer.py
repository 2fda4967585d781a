from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score

from orchestrator.evaluate.protocols.lbfgs_transfer import PENALTIES, Config, chosen, measure
from orchestrator.probing.data import Features
from orchestrator.probing.logistic import Classifier
from orchestrator.probing.variants import percent_right
from tests.orchestrator.evaluate.protocols.encoders import coarse, keeping, shapes

SIZES = {"bank": 81, "validation": 90, "test/original": 151}


def test_penalties_are_the_papers():
    assert len(PENALTIES) == 45
    assert PENALTIES[0] == pytest.approx(1e-6)
    assert PENALTIES[-1] == pytest.approx(1e5)
    np.testing.assert_allclose(np.diff(np.log10(PENALTIES)), 0.25)


def overlapping(count: int, seed: int) -> Features:
    """Three classes, the first of which is most of the images."""
    draw, centres = np.random.default_rng(seed), np.random.default_rng(5).normal(size=(3, 6))
    labels = np.concatenate((np.arange(6) % 3, draw.choice(3, count - 6, p=(0.7, 0.2, 0.1))))
    values = 40 * (centres[labels] + 1.5 * draw.normal(size=(count, 6)))
    return Features(torch.tensor(values, dtype=torch.float32), torch.tensor(labels))


def by_scikit_learn(splits):
    """The whole protocol with another solver and without warm starts."""

    def inputs(*names):
        values = np.concatenate([splits[name].values.double().numpy() for name in names])
        return np.c_[values, np.ones(len(values))], np.concatenate([splits[name].labels.numpy() for name in names])

    def fitted(penalty, *names):
        peer = LogisticRegression(C=1 / (2 * penalty), fit_intercept=False, solver="newton-cholesky", tol=1e-10)
        return peer.fit(*inputs(*names))

    def scored(peer, name):
        values, labels = inputs(name)
        return 100 * balanced_accuracy_score(labels, peer.predict(values))

    best = PENALTIES[int(np.argmax([scored(fitted(penalty, "bank"), "validation") for penalty in PENALTIES]))]
    return best, scored(fitted(best, "bank", "validation"), "test/original")


def test_transfer_agrees_with_scikit_learn(tmp_path, monkeypatch):
    encoder = keeping(coarse)
    data = shapes(encoder, tmp_path)
    splits = {name: overlapping(count, count) for name, count in SIZES.items()}
    monkeypatch.setattr(data, "features", splits.__getitem__)
    monkeypatch.setattr(data, "card", replace(data.card, metric="mean_per_class"))
    (score,) = measure(encoder, data, Config())
    best, value = by_scikit_learn(splits)
    assert (score.split, score.metric, score.count) == ("test/original", "mean_per_class", SIZES["test/original"])
    assert score.note.startswith(f"w={best:.2g}, ")
    assert score.value == pytest.approx(value)
    assert PENALTIES[0] < best < PENALTIES[-1]
    assert 40 < score.value < 95


def test_of_equal_penalties_the_smallest_is_chosen():
    wrong, right = (
        Classifier(sign * torch.tensor([[1.0, 0], [-1, 0]], dtype=torch.float64), "loss") for sign in (-1, 1)
    )
    validation = Features(torch.tensor([[2.0], [-2.0]]), torch.tensor([0, 1]))
    assert chosen([wrong, right, right, wrong], validation, "accuracy") == 1


def test_mean_per_class_counts_every_class_alike():
    labels, predicted = torch.tensor([0] * 8 + [2] * 2), torch.tensor([0] * 8 + [2, 0])
    assert percent_right(predicted, labels, "accuracy")[0] == pytest.approx(90)
    value, error = percent_right(predicted, labels, "mean_per_class")
    assert value == pytest.approx(75)
    assert error == pytest.approx(100 * (0.25 / 2) ** 0.5 / 2)
