import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from orchestrator.datasets import fashion_scenes
from orchestrator.probing.features import labels_of, pixel_features
from orchestrator.probing.linear_probe import L2, fit_linear


def skewed(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of four classes whose scales differ a thousandfold, correlated, one of them constant."""
    draw, fixed = np.random.default_rng(seed), np.random.default_rng(7)
    centres, mixing = fixed.normal(size=(4, 12)), fixed.normal(size=(12, 12))
    labels = draw.integers(0, 4, count)
    features = (centres[labels] + 1.5 * draw.normal(size=(count, 12))) @ mixing * np.logspace(-2, 1, 12) + 3
    features[:, 4] = 2.0
    return torch.tensor(features, dtype=torch.float32), torch.tensor(labels)


@pytest.mark.parametrize("l2", [1e-3, 1e-1])
def test_linear_probe_agrees_with_scikit_learn(l2):
    features, labels = skewed(800, 0)
    queries, answers = skewed(500, 1)
    probe = fit_linear(features, labels, l2=l2)
    scaler = StandardScaler().fit(features.numpy())
    peer = LogisticRegression(C=1 / (800 * l2), tol=1e-8, max_iter=5000)
    peer.fit(scaler.transform(features.numpy()), labels.numpy())
    np.testing.assert_allclose(probe.weight, peer.coef_, atol=2e-3 * np.abs(peer.coef_).max())
    agreement = peer.predict(scaler.transform(queries.numpy())) == probe.predict(queries).numpy()
    assert agreement.mean() >= 0.998
    score = peer.score(scaler.transform(queries.numpy()), answers.numpy())
    assert probe.accuracy(queries, answers) == pytest.approx(score, abs=0.004)
    assert 0.5 < score < 0.95


def test_linear_probe_reaches_the_minimum_on_raw_pixels():
    # A part of the pixels, so that scikit-learn's Newton method takes a second; neighbours are almost the same feature.
    config = fashion_scenes.Config(train_size=800)
    bank, card = fashion_scenes.load(config, "bank"), fashion_scenes.card(config)
    features, labels = pixel_features(card.mean, card.std)(bank.images[:, ::4, ::4].copy()), labels_of(bank)
    assert features.shape == (800, 192)
    probe = fit_linear(features, labels)
    inputs = StandardScaler().fit_transform(features.double().numpy())
    peer = LogisticRegression(C=1 / (800 * L2), solver="newton-cholesky", tol=1e-12, max_iter=100).fit(inputs, labels)

    def objective(weight: torch.Tensor, bias: torch.Tensor) -> float:
        logits = torch.nn.functional.linear(torch.tensor(inputs), weight.double(), bias.double())
        return float(torch.nn.functional.cross_entropy(logits, labels) + L2 / 2 * weight.double().square().sum())

    least = objective(torch.tensor(peer.coef_), torch.tensor(peer.intercept_))
    assert objective(probe.weight, probe.bias) <= (1 + 1e-6) * least


@pytest.mark.parametrize("count", [40, 400])
def test_linear_probe_gives_the_biases_no_penalty(count):
    # Classes of unequal size and features that say nothing: the biases alone must give their shares.
    labels = torch.arange(count) % 4 // 3
    features = torch.tensor(np.random.default_rng(8).normal(size=(count, 60)), dtype=torch.float32)
    logits = fit_linear(features, labels, l2=1e4).logits(features)
    torch.testing.assert_close(logits.softmax(dim=1).mean(dim=0), torch.tensor([0.75, 0.25]), atol=1e-4, rtol=0)


def test_linear_probe_does_not_care_about_scale_and_offset():
    features, labels = skewed(400, 2)
    queries, _ = skewed(200, 3)
    plain = fit_linear(features, labels).predict(queries)
    moved = fit_linear(4 * features - 64, labels).predict(4 * queries - 64)
    assert (plain == moved).float().mean() > 0.99


def test_linear_probe_is_repeatable_to_the_bit():
    features, labels = skewed(300, 4)
    first, again = (fit_linear(features, labels) for _ in range(2))
    assert torch.equal(first.weight, again.weight)


def test_linear_probe_leaves_the_features_alone_inside_no_grad():
    features, labels = skewed(100, 5)
    before = features.clone()
    with torch.no_grad():
        probe = fit_linear(features, labels)
    assert torch.equal(features, before)
    assert not probe.weight.requires_grad


def test_linear_probe_scores_by_hand():
    features = torch.tensor([[-1.0], [-0.5], [0.5], [1.0]])
    probe = fit_linear(features, torch.tensor([0, 0, 1, 1]))
    assert probe.accuracy(torch.tensor([[-3.0], [3.0], [2.0], [-0.1]]), torch.tensor([0, 1, 0, 0])) == 0.75
