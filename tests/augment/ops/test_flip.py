import torch
from scipy import stats
from torchvision.transforms.v2 import functional as reference

from augment.ops import flip
from tests.augment.ops.inputs import batch, uniforms


def test_flip_equals_torchvision():
    source = batch(20, 8, 9)
    params = flip.sample(flip.Config(), (8, 9), uniforms(20, 1))
    ours = flip.apply(source, params)
    assert 0 < params["flipped"].sum() < 20
    for i in range(20):
        for mine, plane in ((ours.images[i], source.images[i]), (ours.masks[i], source.masks[i])):
            assert torch.equal(mine, reference.horizontal_flip(plane) if params["flipped"][i] else plane)


def test_flip_has_its_probability():
    drawn = flip.sample(flip.Config(p=0.3), (8, 8), uniforms(100_000, 1))["flipped"]
    assert stats.binomtest(int(drawn.sum()), 100_000, 0.3).pvalue > 1e-4


def test_flip_target_says_whether_the_views_agree():
    first, second = torch.tensor([True, True, False, False]), torch.tensor([True, False, True, False])
    target = flip.compare({"flip": {"flipped": first}}, {"flip": {"flipped": second}})
    assert target.kind == "binary"
    assert target.values.tolist() == [[1.0], [0.0], [0.0], [1.0]]
