"""On CPU ops leave out images that they would not change; elsewhere they cannot, and the numbers are the same."""

from unittest import mock

import pytest
import torch

from augment import boxes, shortcuts
from augment.ops import blur, color_jitter
from augment.views import Batch

LAYOUTS = {
    "rows": lambda images: images,
    "columns": lambda images: images.mT.contiguous().mT,
    "bytes": lambda images: images.contiguous(memory_format=torch.channels_last),
}


def images(count, side=12):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("op", "p"), [(color_jitter, 0.8), (color_jitter, 0.0), (blur, 0.5), (blur, 0.0), (blur, 1.0)])
def test_images_left_out_are_those_that_nothing_would_change(op, p, layout):
    batch = Batch(LAYOUTS[layout](images(40)))
    before = batch.images.clone()
    uniforms = torch.rand(40, op.SLOTS, generator=torch.Generator().manual_seed(1))
    params = op.sample(op.Config(p=p), (12, 12), uniforms)
    ours = op.apply(batch, params).images
    with mock.patch.object(shortcuts, "readable", return_value=False):
        everyone = op.apply(batch, params).images
    assert torch.equal(ours, everyone)
    unchanged = params["sigma"] == 0 if op is blur else ~params["intensity"].any(1)
    assert torch.equal(ours[unchanged], before[unchanged])
    assert torch.equal(batch.images, before)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_filtered_images_do_not_depend_on_how_they_lie_in_memory(layout):
    source = images(6, side=16)
    box = torch.tensor([[0.25, 0.125, 0.5, 0.75]]).expand(6, 4)
    cut = boxes.resampling(box, (16, 16), 9)
    assert torch.allclose(cut(LAYOUTS[layout](source)), cut(source), atol=1e-6)
