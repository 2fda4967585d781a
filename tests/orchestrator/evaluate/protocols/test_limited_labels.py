import copy

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn import functional

from augment import draws
from augment.pipeline import Pipeline
from augment.views import Batch, ViewSpec
from methods.parts.initial import init_weights
from orchestrator.data.images import ImageSet
from orchestrator.evaluate.protocols import limited_labels
from orchestrator.evaluate.protocols.limited_labels import Config, Rates, chosen_rows, finetuned, measure
from orchestrator.probing.crops import RECIPE
from orchestrator.probing.frozen import FrozenEncoder, fingerprint
from tests.orchestrator.evaluate.protocols.encoders import coarse, keeping, shapes


def test_labels_are_as_many_of_each_class():
    labels = torch.arange(1000) % 10
    one, ten = (chosen_rows(labels, percent, 0) for percent in (1, 10))
    assert labels[one].bincount().tolist() == [1] * 10
    assert labels[ten].bincount().tolist() == [10] * 10
    assert set(one.tolist()) < set(ten.tolist())
    assert torch.equal(ten, chosen_rows(labels, 10, 0))
    assert not torch.equal(ten, chosen_rows(labels, 10, 1))


def test_rare_classes_keep_at_least_one_label_and_at_most_all():
    labels = torch.tensor([0] * 90 + [1] * 2 + [3] * 8)
    assert labels[chosen_rows(labels, 1, 0)].bincount().tolist() == [1, 1, 0, 1]
    assert labels[chosen_rows(labels, 10, 0)].bincount().tolist() == [3, 2, 0, 3]


def small_encoder() -> FrozenEncoder:
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    init_weights(network, 0)
    return FrozenEncoder("small", network.eval().requires_grad_(False), 16, (0.5,) * 3, (0.2,) * 3)


def by_hand(encoder, few: ImageSet, rates: Rates, epochs: int, seed: int, batches: int):
    """Fine-tuning with an optimiser written out: every parameter has its rate and its velocity."""
    trunk = copy.deepcopy(encoder.network).requires_grad_(True).train()
    drawn = [
        draws.uniform(seed, f"limited_labels/{name}", shape) for name, shape in (("weight", (4, 6)), ("bias", (4,)))
    ]
    head = [((2 * uniforms - 1) / 6**0.5).requires_grad_() for uniforms in drawn]
    params = [*((each, rates.trunk / 8) for each in trunk.parameters()), *((each, rates.head / 8) for each in head)]
    velocities = [torch.zeros_like(each) for each, _ in params]
    pipeline = Pipeline(
        {"crop": ViewSpec(("crop",), size=16)}, {"crop": RECIPE}, mean=encoder.mean, std=encoder.std, seed=seed
    )
    source = torch.from_numpy(few.images).permute(0, 3, 1, 2).float() / 255
    for epoch in range(epochs):
        factor = 0.2 ** ((epoch >= 0.6 * epochs) + (epoch >= 0.8 * epochs))
        views = pipeline(Batch(source), torch.arange(len(few)), epoch)["crop"].images
        for rows in draws.permutation(seed, epoch, len(few)).tensor_split(batches):
            logits = functional.linear(trunk(views[rows]), *head)
            loss = functional.cross_entropy(logits, torch.from_numpy(few.labels)[rows])
            gradients = torch.autograd.grad(loss, [each for each, _ in params])
            with torch.no_grad():
                for (each, rate), velocity, gradient in zip(params, velocities, gradients, strict=True):
                    velocity.mul_(0.9).add_(gradient)
                    each.sub_(factor * rate * velocity)
    return trunk, *head


def test_finetuning_agrees_with_the_recipe_by_hand(tmp_path):
    encoder = small_encoder()
    few = shapes(encoder, tmp_path, train_size=40).images("bank")
    rates, before = Rates(trunk=0.16, head=0.8), fingerprint(encoder.network)
    tuned, weight, bias = finetuned(encoder, few, rates, Config(epochs=5, seed=4))
    trunk, *head = by_hand(encoder, few, rates, epochs=5, seed=4, batches=2)
    torch.testing.assert_close([weight, bias], [each.detach() for each in head], rtol=1e-3, atol=1e-5)
    for name, tensor in trunk.state_dict().items():
        torch.testing.assert_close(tuned.network.state_dict()[name], tensor, rtol=1e-3, atol=1e-5)
    assert fingerprint(encoder.network) == before
    assert not any(part.training for part in [*encoder.network.modules(), *tuned.network.modules()])
    assert not torch.equal(tuned.network[0].weight, encoder.network[0].weight)
    assert not torch.equal(tuned.network[1].running_mean, encoder.network[1].running_mean)


def test_rates_are_the_papers():
    assert {1: Rates(0.02, 5.0), 10: Rates(0.01, 0.2)} == limited_labels.RATES


def test_limited_labels_are_scored_both_ways(tmp_path):
    encoder = keeping(coarse)
    data = shapes(encoder, tmp_path, train_size=200, test_size=60)
    scores = measure(encoder, data, Config(percents=(10,), epochs=2))
    assert [score.metric for score in scores] == ["linear_10pct", "finetune_10pct"]
    assert all(score.note.startswith("20 of 200 labels (") for score in scores)
    bank, tested = data.features("bank"), data.features("test/original")
    rows = chosen_rows(bank.labels, 10, 0)
    scaler = StandardScaler().fit(bank.values[rows])
    peer = LogisticRegression(C=1 / (20 * 1e-3), max_iter=5000, tol=1e-8)
    peer.fit(scaler.transform(bank.values[rows]), bank.labels[rows])
    expected = peer.score(scaler.transform(tested.values), tested.labels)
    assert scores[0].value == pytest.approx(100 * expected, abs=2)
    assert np.isfinite(scores[1].value)
