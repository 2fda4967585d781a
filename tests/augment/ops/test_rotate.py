import pytest
import torch
from scipy import stats
from torchvision.transforms.v2 import functional as reference

from augment.ops import rotate
from augment.views import Batch
from tests.augment.ops.inputs import batch, uniforms


def test_rotate_equals_torchvision_pixel_for_pixel():
    source = batch(40, 9, 9)
    source = Batch(source.images, source.masks, backgrounds=source.images.flip(0))
    params = rotate.sample(rotate.Config(p=1.0), (9, 9), uniforms(40, 2))
    assert params["turns"].unique().tolist() == [0, 1, 2, 3]
    ours = rotate.apply(source, params)
    for i, turns in enumerate(params["turns"].tolist()):
        for kind in ("images", "masks", "backgrounds"):
            expected = reference.rotate(getattr(source, kind)[i], 90.0 * turns)
            assert torch.equal(getattr(ours, kind)[i], expected)


def test_rotate_has_its_probabilities():
    turns = rotate.sample(rotate.Config(p=0.4), (8, 8), uniforms(100_000, 2))["turns"]
    expected = torch.tensor([0.6 + 0.1, 0.1, 0.1, 0.1]) * 100_000
    assert stats.chisquare(turns.bincount(), expected).pvalue > 1e-4


def test_rotate_leaves_five_in_eight_upright_by_default():
    turns = rotate.sample(rotate.Config(), (8, 8), uniforms(100_000, 2))["turns"]
    assert stats.binomtest(int((turns == 0).sum()), 100_000, 0.625).pvalue > 1e-4


def test_rotate_refuses_oblong_images():
    with pytest.raises(ValueError, match=r"height = width must hold to rotate, got 8 x 9: put crop before rotate"):
        rotate.sample(rotate.Config(), (8, 9), uniforms(4, 2))


def test_rotate_target_is_the_turn_between_the_views():
    first, second = torch.tensor([0, 1, 3, 2]), torch.tensor([3, 1, 0, 0])
    target = rotate.compare({"rotate": {"turns": first}}, {"rotate": {"turns": second}})
    assert target.kind == "classes"
    assert target.values.tolist() == [1, 0, 3, 2]
