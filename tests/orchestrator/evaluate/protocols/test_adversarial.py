from dataclasses import replace

import pytest
import torch
import torchattack
from torch import nn
from torch.nn.functional import cross_entropy

from orchestrator.evaluate.protocols.adversarial import Config, measure
from orchestrator.probing.attacks import fgsm, pgd, square
from orchestrator.probing.classifiers import own_head
from orchestrator.probing.draw import Draw
from orchestrator.probing.linear_probe import LinearProbe
from tests.orchestrator.evaluate.protocols.encoders import Keeps, coarse, keeping, shapes

SMALL = Config(eps=(2.0, 8.0, 16.0), steps=10, queries=60, images=100)
ROWS = torch.arange(20)


def by_metric(scores):
    return {score.metric: score for score in scores}


def linear_model(num_classes: int = 3):
    """Logits that are linear in the image, so that the strongest attack is known; and images and labels to attack."""
    draw = Draw(1, ROWS, "model")
    weight = 0.1 * Draw(2, ROWS[:num_classes], "weight").normal("w", 3, 8, 8)
    images, labels = 0.2 + 0.6 * draw.uniform("images", 3, 8, 8), ROWS % num_classes
    return lambda images: torch.einsum("bchw,kchw->bk", images, weight), weight, images, labels


def test_fgsm_and_pgd_find_the_strongest_attack_on_a_linear_model_of_two_classes():
    model, weight, images, labels = linear_model(num_classes=2)
    eps = 0.1
    lead = torch.where(labels == 0, 1, -1)[:, None, None, None] * (weight[0] - weight[1])
    strongest = images - eps * lead.sign()
    torch.testing.assert_close(fgsm(model, images, labels, eps), strongest)
    draw = Draw(0, ROWS, "pgd")
    torch.testing.assert_close(pgd(model, images, labels, eps, steps=4, draw=draw), strongest)


def test_fgsm_and_pgd_agree_with_torchattack():
    model, _, images, labels = linear_model()
    network = Keeps(lambda images: torch.relu(model(images)) @ torch.eye(3)).eval()
    peer = torchattack.FGSM(network, device="cpu", eps=0.03)(images.clone(), labels)
    assert torch.equal(fgsm(network, images, labels, 0.03), peer)
    peer = torchattack.PGD(network, device="cpu", eps=0.03, steps=20, alpha=2.5 * 0.03 / 20, random_start=False)
    ours = pgd(network, images, labels, 0.03, steps=20, draw=Draw(0, ROWS, "pgd"))
    losses = [cross_entropy(network(found), labels).item() for found in (images, ours, peer(images.clone(), labels))]
    assert losses[1] == pytest.approx(losses[2], rel=1e-3)
    assert losses[1] > 1.2 * losses[0]


def test_gradient_passes_through_an_encoders_own_head():
    encoder = keeping(coarse)
    head = nn.Linear(5, 4)
    logits = own_head(replace(encoder, head=head, label_space="four"), "four", 4)
    features = torch.ones(2, 5, requires_grad=True)
    logits(features).square().sum().backward()
    assert features.grad.abs().min() > 0


@pytest.mark.parametrize("attack", [pgd, square], ids=["pgd", "square"])
def test_attack_stays_in_the_ball_and_in_range_and_depends_on_the_row_alone(attack):
    model, _, images, labels = linear_model()
    images = (2 * images - 0.5).clamp(0, 1)
    effort = {"steps": 5} if attack is pgd else {"queries": 20}
    attacked = attack(model, images, labels, 0.05, draw=Draw(0, ROWS, "x"), **effort)
    assert attacked.min() >= 0
    assert attacked.max() <= 1
    assert (attacked - images).abs().max() <= 0.05 + 1e-6
    alone = attack(model, images[7:9], labels[7:9], 0.05, draw=Draw(0, ROWS[7:9], "x"), **effort)
    torch.testing.assert_close(alone, attacked[7:9])


def test_square_attack_needs_no_gradient():
    model, _, images, labels = linear_model()

    def margin(images):
        logits = model(images)
        others = logits.scatter(1, labels[:, None], -torch.inf).amax(1)
        return logits.gather(1, labels[:, None])[:, 0] - others

    few, many = (
        square(lambda x: model(x).detach(), images, labels, 0.1, queries=q, draw=Draw(0, ROWS, "x")) for q in (5, 100)
    )
    assert (margin(few) < margin(images)).float().mean() > 0.9
    assert margin(many).mean() < margin(few).mean()


def test_accuracy_falls_with_eps_and_an_honest_encoder_shows_no_sign_of_masking(tmp_path):
    encoder = keeping(lambda images: torch.tanh(3 * coarse(images) - 1.5))
    found = by_metric(measure(encoder, shapes(encoder, tmp_path, train_size=600), SMALL))
    values = [found[name].value for name in ("clean", "pgd_2", "pgd_8", "pgd_16")]
    assert values == sorted(values, reverse=True)
    assert values[0] > values[-1] + 20
    for eps in (2, 8, 16):
        assert found[f"pgd_{eps}"].value <= found[f"fgsm_{eps}"].value + 3
    assert found["masking_signs"].value == 0, found["masking_signs"].note
    assert found["pgd_unbounded"].value == 0
    assert "eps=8/255" in found["pgd_8"].note


def test_eps_must_ascend():
    with pytest.raises(ValueError, match=r"eps must ascend, got \[2.0, 1.0\]"):
        Config(eps=(2.0, 1.0))
    assert Config.model_validate({"eps": [1, 2]}).eps == (1.0, 2.0)  # as YAML gives it


@pytest.mark.parametrize("mask", ["steps", "saturation"])
def test_masked_gradient_is_seen(mask, tmp_path, monkeypatch):
    if mask == "steps":  # no gradient at all, though small changes cross the steps
        encoder = keeping(lambda images: torch.round(40 * coarse(images)) / 40)
    else:  # logits so large that the cross-entropy is flat
        encoder = keeping(coarse)
        loud = LinearProbe.logits
        monkeypatch.setattr(LinearProbe, "logits", lambda probe, x: 1e6 * loud(probe, x))
    found = by_metric(measure(encoder, shapes(encoder, tmp_path, train_size=600), SMALL))
    assert found["masking_signs"].value >= 2
    assert "squares beat gradients" in found["masking_signs"].note
    assert "no bound on eps does not suffice" in found["masking_signs"].note
