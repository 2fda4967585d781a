import math

import pytest
import torch
from lightly.loss import NTXentLoss

from augment import draws
from methods import simclr
from methods.objective import Objective
from tests.methods import small
from tests.methods.random_cases import SEEDS, drawn


def a_case(seed: int, names: str) -> tuple[list[torch.Tensor], float]:
    """Projections, one of each name, and a temperature."""
    batch, dim, temperature = drawn(seed, batch=(2, 32), dim=(2, 64), temperature=(0.02, 2.0)).values()
    return [3 * draws.normal(seed, name, (batch, dim)).double() for name in names], temperature


def cosine(u: list[float], v: list[float]) -> float:
    return sum(a * b for a, b in zip(u, v, strict=True)) / math.hypot(*u) / math.hypot(*v)


def paper(first: torch.Tensor, second: torch.Tensor, temperature: float) -> float:
    """Algorithm 1 of arXiv 2002.05709, letter by letter: views of one image lie side by side."""
    z = [row.tolist() for pair in zip(first, second, strict=True) for row in pair]

    def loss(i: int, j: int) -> float:
        others = sum(math.exp(cosine(z[i], z[k]) / temperature) for k in range(len(z)) if k != i)
        return -math.log(math.exp(cosine(z[i], z[j]) / temperature) / others)

    return sum(loss(k, k + 1) + loss(k + 1, k) for k in range(0, len(z), 2)) / len(z)


@pytest.mark.parametrize("seed", SEEDS)
def test_mean_of_both_directions_is_the_papers_loss(seed):
    (a, b), temperature = a_case(seed, "ab")
    both = [simclr.nt_xent(a, b, temperature=temperature), simclr.nt_xent(b, a, temperature=temperature)]
    assert float(sum(both) / 2) == pytest.approx(paper(a, b, temperature), rel=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_mean_of_both_directions_is_lightlys_loss_with_its_gradient(seed):
    (a, b), temperature = a_case(seed, "ab")
    a.requires_grad_(), b.requires_grad_()
    ours = (simclr.nt_xent(a, b, temperature=temperature) + simclr.nt_xent(b, a, temperature=temperature)) / 2
    theirs = NTXentLoss(temperature=temperature)(a, b)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    for x, y in zip(torch.autograd.grad(ours, (a, b)), torch.autograd.grad(theirs, (a, b)), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("seed", SEEDS)
def test_matched_negatives_are_one_more_logit_for_their_own_query(seed):
    (q, k, first, second), temperature = a_case(seed, "qkmn")
    rows = [[row.tolist() for row in part] for part in (q, k, first, second)]
    total = 0.0
    for i in range(len(q)):
        others = [*rows[1], *(row for j, row in enumerate(rows[0]) if j != i), rows[2][i], rows[3][i]]
        scores = [math.exp(cosine(rows[0][i], other) / temperature) for other in others]
        total -= math.log(scores[i] / sum(scores)) / len(q)
    ours = simclr.nt_xent(q, k, temperature=temperature, matched=[first, second])
    assert float(ours) == pytest.approx(total, rel=1e-12)


def test_no_query_competes_with_itself():
    """Were it a candidate, one identical pair among orthogonal rows would cost log(2) and more."""
    eye = torch.eye(4, dtype=torch.float64)
    assert float(simclr.nt_xent(eye, eye, temperature=0.01)) < 1e-12


@pytest.mark.parametrize("temperature", [0.0, -0.1, math.nan])
def test_temperature_that_is_not_positive_is_refused(temperature):
    with pytest.raises(ValueError, match=f"temperature > 0 must hold, got temperature={temperature}"):
        simclr.nt_xent(torch.ones(2, 2), torch.ones(2, 2), temperature=temperature)


def test_objective_equals_lightly_on_the_projections():
    method = small.simclr_method(temperature=0.3)
    objective = Objective(method, small.plan(method), {})
    views = small.views_of(small.plan(method))
    a, b = (method.encode(views[name].images).projection for name in ("first", "second"))
    theirs = NTXentLoss(temperature=0.3)(a, b)
    torch.testing.assert_close(objective(views, None, small.at(0.1)).total, theirs, rtol=1e-12, atol=0)


def test_gradient_comes_through_queries_and_keys():
    method = small.simclr_method()
    views = small.views_of(small.plan(method))
    a, b = (method.encode(views[name].images) for name in ("first", "second"))
    query_gradient, key_gradient = torch.autograd.grad(
        method.pair_loss(a, method.key(b, "second"), []), (a.projection, b.projection)
    )
    assert query_gradient.abs().min() > 0
    assert key_gradient.abs().min() > 0


def test_three_steps_give_the_known_curve():
    method = small.simclr_method()
    losses = small.train(Objective(method, small.plan(method), {}), small.views_of(small.plan(method)), steps=3, lr=0.1)
    assert losses == pytest.approx([5.4033969, 3.9273658, 2.6573408], rel=1e-6)
