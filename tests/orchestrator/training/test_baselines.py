"""The untrained encoder that trained ones have to beat."""

import numpy as np
import pytest
import torch
from torch.nn.functional import batch_norm, conv2d

from methods.encoders import resnet, vit
from methods.parts.initial import init_weights
from orchestrator.training import baselines
from orchestrator.training.baselines import calibrated

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (50, 16, 16, 3), dtype=np.uint8)


def built() -> resnet.ResNet:
    encoder = resnet.build(resnet.Config(depth=8, width=0.25))
    init_weights(encoder, 0)
    return encoder


def test_residual_branches_are_open_and_nothing_else_of_the_weights_changes(images):
    encoder = built()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    ready = calibrated(encoder, images, MEAN, STD)
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    changed = {name for name, value in ready.named_parameters() if not torch.equal(value, before[name])}
    assert changed == {f"layer{stage}.0.bn2.weight" for stage in (1, 2, 3)}
    assert all((ready.get_parameter(name) == 1).all() for name in changed)
    assert not any(module.training for module in ready.modules())


def test_statistics_are_means_over_chunks_that_each_normalise_by_their_own(images, monkeypatch):
    monkeypatch.setattr(baselines, "CHUNK", 20)  # so 50 images make chunks of 17, 17 and 16
    encoder = built()
    ready = calibrated(encoder, images, MEAN, STD)
    means, variances = [], []
    for rows in (slice(0, 17), slice(17, 34), slice(34, 50)):
        planes = torch.tensor(images[rows]).permute(0, 3, 1, 2).double() / 255
        inputs = (planes - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
        stem = conv2d(inputs, encoder.conv1.weight.double(), padding=1)
        block = batch_norm(stem, None, None, training=True).relu()
        second = conv2d(block, encoder.layer1[0].conv1.weight.double(), padding=1)
        means.append(second.mean((0, 2, 3)))
        variances.append(second.transpose(0, 1).flatten(1).var(dim=1, correction=1))
    norm = ready.layer1[0].bn1
    torch.testing.assert_close(norm.running_mean.double(), torch.stack(means).mean(0), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(norm.running_var.double(), torch.stack(variances).mean(0), atol=1e-5, rtol=1e-5)


def test_encoder_without_batch_norms_keeps_all_its_numbers(images):
    encoder = vit.build(vit.Config(image_size=16))
    init_weights(encoder, 0)
    ready = calibrated(encoder, images[:4], MEAN, STD)
    assert all(torch.equal(value, encoder.state_dict()[name]) for name, value in ready.state_dict().items())
