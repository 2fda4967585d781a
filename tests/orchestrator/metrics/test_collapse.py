import math

import numpy as np
import pytest
import torch

from orchestrator.metrics.collapse import feature_std, rankme


def rankme_oracle(features: np.ndarray) -> float:
    values = np.linalg.svd(features, compute_uv=False)
    shares = [value / sum(values) + 1e-7 for value in values]
    return math.exp(-sum(share * math.log(share) for share in shares))


@pytest.mark.parametrize("shape", [(60, 10), (10, 60), (50, 50)])
def test_rankme_equals_its_oracle(shape):
    features = np.random.default_rng(0).normal(size=shape) * np.logspace(0, -6, shape[1])
    assert rankme(torch.tensor(features, dtype=torch.float32)) == pytest.approx(rankme_oracle(features), rel=1e-3)


def test_rankme_counts_equal_directions():
    for rank in (1, 3, 8):
        features = torch.eye(8)[torch.arange(80) % rank]
        assert rankme(features) == pytest.approx(rank, rel=1e-3)


def test_feature_std_is_one_when_spread_evenly_and_zero_when_collapsed():
    # The corners of a cube.
    corners = torch.tensor(np.stack(np.meshgrid(*[[-1.0, 1.0]] * 3), axis=-1).reshape(-1, 3), dtype=torch.float32)
    assert feature_std(corners * torch.arange(1, 9)[:, None]) == pytest.approx(1)
    assert feature_std(torch.ones(9, 5) * torch.arange(1, 10)[:, None]) == pytest.approx(0, abs=1e-6)


def test_feature_std_equals_numpy():
    features = np.random.default_rng(1).normal(size=(40, 6)) + 1
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    found = feature_std(torch.tensor(features, dtype=torch.float32))
    assert found == pytest.approx(unit.std(axis=0).mean() * 6**0.5, rel=1e-5)
