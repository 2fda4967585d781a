import math

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from orchestrator.metrics.knn import CHUNK, knn_accuracy, num_neighbours


def clusters(count: int, seed: int, num_classes: int = 5, noise: float = 1.5) -> tuple[torch.Tensor, torch.Tensor]:
    draw = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(num_classes, 8))
    labels = draw.integers(0, num_classes, count)
    return torch.tensor(centres[labels] + noise * draw.normal(size=(count, 8)), dtype=torch.float32), torch.tensor(
        labels
    )


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.1), (20, 0.1), (40, 0.07), (300, 1.0)])
def test_knn_agrees_with_scikit_learn(k, temperature):
    bank, bank_labels = clusters(300, 0)
    queries, query_labels = clusters(CHUNK + 76, 1)  # across a chunk's end
    peer = KNeighborsClassifier(k, metric="cosine", algorithm="brute", weights=lambda d: np.exp((1 - d) / temperature))
    expected = peer.fit(bank.numpy(), bank_labels.numpy()).score(queries.numpy(), query_labels.numpy())
    found = knn_accuracy(bank, bank_labels, queries, query_labels, k=k, temperature=temperature)
    assert found == pytest.approx(expected, abs=1.5 / len(queries))  # one query may hang on float32's last bit
    assert 0.25 < found < 0.99


def test_knn_weighs_near_neighbours_more():
    bank = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.8, -0.6]])
    queries, labels = torch.tensor([[2.0, 0.0]]), torch.tensor([0, 1, 1])
    # exp(1/T) against 2 exp(0.8/T): one near neighbour outvotes two at T < 0.2 / ln 2.
    limit = 0.2 / math.log(2)
    for temperature, right in ((0.9 * limit, 1.0), (1.1 * limit, 0.0)):
        assert knn_accuracy(bank, labels, queries, torch.tensor([0]), k=3, temperature=temperature) == right


def test_knn_ignores_the_length_of_features():
    bank, bank_labels = clusters(200, 2)
    queries, query_labels = clusters(100, 3)
    plain = knn_accuracy(bank, bank_labels, queries, query_labels, k=9, temperature=0.1)
    scales = torch.rand(200, 1) * 9 + 0.5
    assert knn_accuracy(bank * scales, bank_labels, queries * 7, query_labels, k=9, temperature=0.1) == plain


@pytest.mark.parametrize(("bank", "k"), [(1, 1), (99, 1), (100, 2), (8000, 160), (10_000, 200), (10**6, 200)])
def test_protocol_asks_a_fiftieth_of_the_bank(bank, k):
    assert num_neighbours(bank) == k
