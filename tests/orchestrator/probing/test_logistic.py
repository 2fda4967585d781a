import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression as Peer
from torch.nn import functional

from orchestrator.probing import logistic
from orchestrator.probing.logistic import Classifier, LogisticRegression, endings


def skewed(count: int, width: int, seed: int, strength: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Correlated features of four classes, far from 0, whose scales differ a hundredfold."""
    draw, fixed = np.random.default_rng(seed), np.random.default_rng(7)
    centres, mixing = fixed.normal(size=(4, width)), fixed.normal(size=(width, width))
    labels = draw.permutation(np.arange(count) % 4)
    features = (strength * centres[labels] + draw.normal(size=(count, width))) @ mixing * np.logspace(-1, 1, width) + 3
    return torch.tensor(features), torch.tensor(labels)


def peer_weight(features: torch.Tensor, labels: torch.Tensor, penalty: float) -> np.ndarray:
    """scikit-learn's minimum of C * sum of losses + |w|^2 / 2; the bias is the weight of a constant, so penalised."""
    peer = Peer(C=1 / (2 * penalty), fit_intercept=False, solver="newton-cholesky", tol=1e-12, max_iter=1000)
    return peer.fit(np.c_[features, np.ones(len(features))], labels).coef_


@pytest.mark.parametrize("penalty", [1e-1, 1e1, 1e4])
@pytest.mark.parametrize(("count", "width"), [(200, 8), (24, 40)])
def test_logistic_regression_agrees_with_scikit_learn(count, width, penalty):
    features, labels = skewed(count, width, 0)
    problem = LogisticRegression(features, labels, 4)
    found, expected = problem.fit(penalty, problem.start()), peer_weight(features, labels, penalty)
    np.testing.assert_allclose(found.weight, expected, atol=1e-5 * np.abs(expected).max())
    assert found.ended in ("gradient", "loss")


def test_logistic_regression_goes_far_where_classes_come_apart():
    # Hardly any loss and hardly any penalty: the minimum is far from 0, and everything is flat on the way.
    features, labels = skewed(60, 4, 1, strength=8.0)
    problem = LogisticRegression(features, labels, 4)
    found = problem.fit(1e-4, problem.start()).weight
    expected = torch.tensor(peer_weight(features, labels, 1e-4))
    assert objective(features, labels, found, 1e-4) == pytest.approx(
        objective(features, labels, expected, 1e-4), rel=1e-5
    )


def objective(features, labels, weight, penalty):
    inputs = torch.cat((features, torch.ones(len(features), 1)), dim=1)
    return float(functional.cross_entropy(inputs @ weight.T, labels, reduction="sum") + penalty * weight.square().sum())


def test_logistic_regression_needs_no_particular_start():
    features, labels = skewed(200, 8, 1)
    problem = LogisticRegression(features, labels, 4)
    direct = problem.fit(1e-1, problem.start()).weight
    detour = problem.fit(1e-1, problem.fit(1e3, problem.start()).weight).weight
    np.testing.assert_allclose(direct, detour, atol=1e-5 * float(direct.abs().max()))


def test_logistic_regression_predicts_by_features_and_bias():
    weight = torch.tensor([[1.0, 0.0], [0.0, 1.5]], dtype=torch.float64)
    assert Classifier(weight, "loss").predict(torch.tensor([[2.0], [1.0]])).tolist() == [0, 1]


def test_logistic_regression_tells_what_ended_it(monkeypatch):
    features, labels = skewed(100, 6, 2)
    problem = LogisticRegression(features, labels, 4)
    loose, tight = (problem.fit(penalty, problem.start()) for penalty in (1e-1, 1e9))
    assert tight.ended == "gradient"
    assert loose.ended == "loss"
    monkeypatch.setattr(logistic, "MOST_ITERATIONS", 4)
    monkeypatch.setattr(logistic, "ITERATIONS_OF_A_RUN", 2)
    hasty = problem.fit(1e-1, problem.start())
    assert hasty.ended == "iterations"
    assert endings([hasty, tight, hasty]) == "2 by iterations, 1 by gradient"


def test_logistic_regression_refuses_broken_features():
    features, labels = skewed(20, 3, 3)
    features[4, 1] = torch.nan
    with pytest.raises(ValueError, match="some features are not finite"):
        LogisticRegression(features, labels, 4)
