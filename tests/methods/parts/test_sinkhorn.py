import math

import pytest
import torch
from lightly.loss.swav_loss import sinkhorn as lightlys

from augment import draws
from methods.parts.sinkhorn import sinkhorn
from tests.methods.random_cases import SEEDS, drawn


def scores(samples: int, clusters: int, seed: int = 1) -> torch.Tensor:
    """As of unit vectors."""
    return draws.uniform(seed, "scores", (samples, clusters)).double() * 2 - 1


def a_case(seed: int) -> tuple[torch.Tensor, float, int]:
    """A table of scores, epsilon and a number of iterations."""
    ranges = {"samples": (1, 48), "clusters": (2, 32), "epsilon": (0.01, 2.0), "iterations": (1, 10)}
    samples, clusters, epsilon, iterations = drawn(seed, **ranges).values()
    return scores(samples, clusters, seed), epsilon, iterations


def paper(table: torch.Tensor, epsilon: float, iterations: int, mass: list[float]) -> list[list[float]]:
    """Algorithm 1 of arXiv 2006.09882, cell by cell: clusters get equal amounts, samples what they weigh."""
    num_clusters = table.shape[1]
    cells = [[m * math.exp(score / epsilon) for score in row] for m, row in zip(mass, table.tolist(), strict=True)]
    for _ in range(iterations):
        amounts = [sum(row[c] for row in cells) for c in range(num_clusters)]
        cells = [[cell / amounts[c] / num_clusters for c, cell in enumerate(row)] for row in cells]
        cells = [[cell / sum(row) * m / sum(mass) for cell in row] for m, row in zip(mass, cells, strict=True)]
    return [[cell / sum(row) for cell in row] for row in cells]


@pytest.mark.parametrize("seed", SEEDS)
def test_shares_are_the_papers_and_lightlys(seed):
    table, epsilon, iterations = a_case(seed)
    ours = sinkhorn(table, epsilon=epsilon, iterations=iterations)
    expected = torch.tensor(paper(table, epsilon, iterations, [1.0] * len(table)), dtype=torch.float64)
    torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(ours, lightlys(table, iterations, epsilon), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("seed", SEEDS)
def test_samples_weigh_what_their_mass_says(seed):
    table, epsilon, iterations = a_case(seed)
    mass = 0.1 + 3 * draws.uniform(seed, "mass", (len(table),)).double()
    ours = sinkhorn(table, epsilon=epsilon, iterations=iterations, mass=mass)
    expected = paper(table, epsilon, iterations, mass.tolist())
    torch.testing.assert_close(ours, torch.tensor(expected, dtype=torch.float64), rtol=1e-10, atol=1e-14)


def test_samples_without_mass_are_as_if_not_there():
    table = scores(10, 4)
    mass = torch.tensor([1.0] * 6 + [0.0] * 4).double()
    ours = sinkhorn(table, epsilon=0.05, iterations=3, mass=mass)
    torch.testing.assert_close(ours[:6], sinkhorn(table[:6], epsilon=0.05, iterations=3), rtol=1e-13, atol=0)
    assert ours.isfinite().all()


def test_clusters_share_evenly_after_many_iterations():
    ours = sinkhorn(scores(60, 6), epsilon=0.3, iterations=200)
    torch.testing.assert_close(ours.sum(dim=0), torch.full((6,), 10.0).double(), rtol=1e-9, atol=0)
    torch.testing.assert_close(ours.sum(dim=1), torch.ones(60).double(), rtol=1e-12, atol=0)


def test_small_epsilon_overflows_nothing_in_float32():
    ours = sinkhorn(scores(8, 4).float(), epsilon=0.002, iterations=3)
    assert ours.isfinite().all()
    assert not lightlys(scores(8, 4).float(), 3, 0.002).isfinite().all()
    torch.testing.assert_close(ours.double(), sinkhorn(scores(8, 4), epsilon=0.002, iterations=3), rtol=0, atol=1e-3)


def test_scores_are_left_alone_and_get_no_gradient():
    table = scores(5, 3).requires_grad_()
    before = table.detach().clone()
    assert not sinkhorn(table, epsilon=0.05, iterations=3).requires_grad
    assert torch.equal(table, before)
