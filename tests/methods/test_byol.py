import copy
import math

import pytest
import torch
from lightly.loss import NegativeCosineSimilarity

from augment import draws
from methods import byol
from methods.objective import Objective
from tests.methods import small
from tests.methods.random_cases import SEEDS, drawn


def oracle(query: torch.Tensor, key: torch.Tensor) -> float:
    """Equation 2 of arXiv 2006.07733, row by row: the squared distance of the normalised vectors."""
    total = 0.0
    for q, k in zip(query.tolist(), key.tolist(), strict=True):
        total += sum((a / math.hypot(*q) - b / math.hypot(*k)) ** 2 for a, b in zip(q, k, strict=True))
    return total / len(query)


@pytest.mark.parametrize("seed", SEEDS)
def test_cosine_distance_is_the_papers_squared_distance(seed):
    shape = drawn(seed, batch=(1, 32), dim=(1, 128)).values()
    q, k = (5 * draws.normal(seed, name, tuple(shape)).double() for name in "qk")
    assert float(byol.cosine_distance(q, k)) == pytest.approx(oracle(q, k), rel=1e-12)


def test_cosine_distance_runs_from_zero_to_four():
    q = draws.normal(2, "q", (5, 3)).double()
    assert float(byol.cosine_distance(q, 7 * q)) == pytest.approx(0, abs=1e-14)
    assert float(byol.cosine_distance(q, -7 * q)) == pytest.approx(4)


def test_objective_is_the_sum_of_both_directions():
    method = small.perturbed_twin(small.byol_method())
    objective = Objective(method, small.plan(method), {})
    views = small.views_of(small.plan(method))
    predictions = [method.encode(views[name].images).prediction for name in ("first", "second")]
    targets = [method.encode_target(views[name].images).projection for name in ("first", "second")]
    expected = oracle(predictions[0], targets[1]) + oracle(predictions[1], targets[0])
    assert objective(views, None, small.at(0.1)).total.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_objective_is_lightlys_with_its_gradient(seed):
    """Its loss is minus the cosine, so each direction is 2 + 2 times that."""
    batch, hidden, outputs = drawn(seed, batch=(2, 16), hidden=(1, 32), outputs=(2, 24)).values()
    method = small.perturbed_twin(small.byol_method(seed, hidden=hidden, outputs=outputs))
    networks, views = copy.deepcopy(method), small.views_of(small.plan(method), batch, seed=seed)
    theirs = torch.zeros((), dtype=torch.float64)
    for query, key in (("first", "second"), ("second", "first")):
        prediction = networks.predictor(networks.projector(networks.encoder(views[query].images)))
        with torch.no_grad():
            _, target = networks.twin(views[key].images)
        theirs = theirs + 2 + 2 * NegativeCosineSimilarity()(prediction, target)
    ours = Objective(method, small.plan(method), {})(views, None, small.at(0.1)).total
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)
    ours.backward()
    theirs.backward()
    expected = small.gradients(networks)
    for name, gradient in small.gradients(method).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-9, atol=1e-13)


def test_every_online_weight_gets_gradient_and_no_twin_weight():
    method = small.perturbed_twin(small.byol_method())
    objective = Objective(method, small.plan(method), {})
    objective(small.views_of(small.plan(method)), None, small.at(0.1)).total.backward()
    for name, gradient in small.gradients(method).items():
        if name.startswith("twin."):
            assert gradient is None, name
        else:
            assert gradient.any(), name


def test_gradient_is_that_of_constant_keys():
    """The loss of one direction sees the network through the query only."""
    method = small.perturbed_twin(small.byol_method())
    views = small.views_of(small.plan(method))
    key = method.key(method.encode(views["second"].images), "second")  # even if somebody makes keys of an online pass
    assert not key.requires_grad


def test_negatives_are_refused():
    method = small.byol_method()
    encoded = method.encode(small.views_of(small.plan(method))["first"].images)
    with pytest.raises(ValueError, match="positives only; use simclr"):
        method.pair_loss(encoded, encoded.projection.detach(), [encoded.projection])


def test_twin_follows_with_the_momentum_of_the_step_to_come():
    method = small.perturbed_twin(small.byol_method(momentum=0.9))
    objective = Objective(method, small.plan(method), {})
    before = [parameter.clone() for parameter in method.twin.parameters()]
    objective.after_step(small.at(0.5), {})
    online = [*method.encoder.parameters(), *method.projector.parameters()]
    for old, new, followed in zip(before, method.twin.parameters(), online, strict=True):
        torch.testing.assert_close(new, 0.95 * old + 0.05 * followed, rtol=1e-13, atol=1e-15)


def test_twin_stands_still_after_the_last_step():
    method = small.perturbed_twin(small.byol_method(momentum=0.9))
    before = [parameter.clone() for parameter in method.twin.parameters()]
    Objective(method, small.plan(method), {}).after_step(small.at(8 / 7), {})
    assert all(torch.equal(x, y) for x, y in zip(before, method.twin.parameters(), strict=True))


def test_three_steps_give_the_known_curve():
    method = small.byol_method()
    losses = small.train(Objective(method, small.plan(method), {}), small.views_of(small.plan(method)), steps=3, lr=0.1)
    assert losses == pytest.approx([4.2673700, 3.0563629, 2.1361041], rel=1e-6)
