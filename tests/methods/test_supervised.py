import math

import pytest
import torch
from sklearn.metrics import log_loss

from augment import draws
from methods.addons import msr
from methods.contract import Encoded
from methods.objective import Objective
from tests.methods import small

LABELS = torch.tensor([2, 0, 1, 1, 2, 0])


@pytest.mark.parametrize("num_classes", [2, 3, 10])
def test_loss_is_the_mean_of_minus_log_probabilities(num_classes):
    logits = 3 * draws.normal(1, "logits", (8, num_classes)).double()
    labels = torch.arange(8) % num_classes
    expected = 0.0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        expected += (math.log(sum(math.exp(score) for score in row)) - row[label]) / 8
    ours = small.supervised_method().pair_loss(Encoded(logits, logits, logits), labels, [])
    assert float(ours) == pytest.approx(expected, rel=1e-12)
    assert float(ours) == pytest.approx(log_loss(labels, logits.softmax(dim=1), labels=range(num_classes)), rel=1e-12)


def test_objective_classifies_features_of_its_one_view_and_trains_everything():
    method = small.supervised_method()
    objective, views = Objective(method, small.plan(method), {}), small.views_of(small.plan(method))
    assert list(views) == ["first"]
    features = method.encoder(views["first"].images)
    expected = -(features @ method.classifier.weight.T + method.classifier.bias).log_softmax(dim=1)
    total = objective(views, LABELS, small.at(0.1)).total
    torch.testing.assert_close(total, expected[torch.arange(6), LABELS].mean(), rtol=1e-12, atol=0)
    total.backward()
    assert all(gradient.any() for gradient in small.gradients(method).values())


def test_data_without_labels_is_refused():
    method = small.supervised_method()
    with pytest.raises(ValueError, match="choose a labelled data set"):
        Objective(method, small.plan(method), {})(small.views_of(small.plan(method)), None, small.at(0.1))


def test_comparisons_of_views_are_refused():
    method = small.supervised_method()
    encoded = method.encode(small.views_of(small.plan(method))["first"].images)
    with pytest.raises(ValueError, match="compares no views; use simclr"):
        method.pair_loss(encoded, LABELS, [encoded.projection])
    with pytest.raises(ValueError, match="no keys but labels; use simclr"):
        method.key(encoded, "first")


def test_msr_is_refused():
    with pytest.raises(ValueError, match=r"this method's are labels; drop addons\.msr"):
        msr.rewrite(small.plan(small.supervised_method()), msr.Config())


def test_three_steps_give_the_known_curve():
    method = small.supervised_method()
    views = small.views_of(small.plan(method))
    losses = small.train(Objective(method, small.plan(method), {}), views, steps=3, lr=0.1, labels=LABELS)
    assert losses == pytest.approx([1.0750498, 0.79662680, 0.62859231], rel=1e-6)
