"""A pipeline's second call is all kernels: what a CUDA graph records of it serves every other batch and epoch."""

from dataclasses import replace

import pytest
import torch

from augment import draws
from augment.ops import background, blur, color_jitter, crop, flip, foreground, grayscale, rotate, solarize
from augment.pipeline import Pipeline
from augment.views import Step, ViewSpec
from tests.augment.banks import batch_of, signed_bank
from tests.recorded import record

OPS = {
    "crop": crop,
    "flip": flip,
    "rotate": rotate,
    "color_jitter": color_jitter,
    "grayscale": grayscale,
    "blur": blur,
    "solarize": solarize,
}
SWAP, GREY = background.Config(p=0.6, shared_coin=True), background.Config(plate="grey", p=0.6)
RECIPES = {
    "all": [Step(name, op, op.Config(**({"p": 0.6} if name != "crop" else {}))) for name, op in OPS.items()],
    "weak": [Step("crop", crop, crop.Config()), Step("flip", flip, flip.Config())],
    "swap": [Step("background", background, SWAP)],
    "grey": [Step("background", background, GREY)],
    "paste": [Step("foreground", foreground, foreground.Config(matched=0.6))],
    "fill": [Step("foreground", foreground, foreground.Config(matched=0.6, cut="fill"))],
}
VIEWS = {
    "plain": ViewSpec(()),
    "one": ViewSpec(("all",)),
    "two": ViewSpec(("all",)),
    "small": ViewSpec(("all",), size=12),
    "large": ViewSpec(("weak",), size=24),
    "swapped": ViewSpec(("swap", "weak")),
    "grey": ViewSpec(("grey", "weak")),
    "pasted": ViewSpec(("paste",), parent="plain"),
    "filled": ViewSpec(("fill",), parent="plain"),
}
PIPELINE = Pipeline(VIEWS, RECIPES, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3), seed=7)
PER_IMAGE = ("images", "masks", "backgrounds", "rows", "lenders")


def source(rows):
    return replace(batch_of(signed_bank(40), rows), lenders=torch.where(rows % 5 == 0, -3, -1))


def tensors(views):
    for name, view in views.items():
        yield f"{name}.images", view.images
        yield f"{name}.masks", view.masks
        for op, params in view.params.items():
            yield from ((f"{name}.{op}.{key}", value) for key, value in params.items())


def test_recorded_pipeline_serves_other_rows_and_epochs():
    batch, rows, epoch = source(torch.arange(8)), torch.arange(8), torch.tensor(3)
    PIPELINE(batch, rows, epoch)
    recording = record(lambda: PIPELINE(batch, rows, epoch))
    other = source(torch.arange(20, 28))
    for name in PER_IMAGE:
        getattr(batch, name).copy_(getattr(other, name))
    rows.copy_(torch.arange(20, 28)), epoch.fill_(9)
    recording.replay()
    for (name, ours), (_, eager) in zip(
        tensors(recording.result), tensors(PIPELINE(source(rows), rows.clone(), 9)), strict=True
    ):
        assert torch.equal(ours, eager), name


def test_second_call_touches_no_tensor_of_the_host():
    batch = source(torch.arange(8))
    bank = replace(batch.bank, **{name: value.to("meta") for name, value in vars(batch.bank).items()})
    batch = replace(batch, bank=bank, **{name: getattr(batch, name).to("meta") for name in PER_IMAGE})
    epoch = torch.tensor(3, device="meta")
    PIPELINE(batch, batch.rows, epoch)
    views = record(lambda: PIPELINE(batch, batch.rows, epoch)).result
    assert all(value.is_meta for _, value in tensors(views))


def test_epoch_may_be_a_tensor():
    rows = torch.arange(8)
    by_tensor, by_number = (draws.uniforms(1, epoch, rows, [5], 9) for epoch in (torch.tensor(2**32 - 1), 2**32 - 1))
    assert torch.equal(by_tensor, by_number)


@pytest.mark.parametrize(
    ("function", "complaint"),
    [
        (lambda x: x.sum().item(), "reads from the device"),
        (lambda x: x + torch.tensor([1.0, 2.0]), "brings numbers from Python"),
        (lambda x: x[x > 0], "selects by a mask"),
        (lambda x: x.nonzero(), "shape that depends on values"),
        (lambda x: x.to("meta"), "two devices"),
    ],
)
def test_recorder_refuses_what_a_capture_cannot_hold(function, complaint):
    with pytest.raises(AssertionError, match=complaint):
        record(lambda: function(torch.ones(2)))
