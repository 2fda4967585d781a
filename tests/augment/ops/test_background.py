import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from augment import borrowing
from augment.boxes import Config as Box
from augment.ops import background
from augment.pipeline import Pipeline
from augment.views import Batch, Step, ViewSpec
from tests.augment.banks import batch_of, signed_bank
from tests.augment.ops.inputs import uniforms

COUNT, SIDE = 40, 16
STILL = borrowing.Geometry(box=Box(scale=(1.0, 1.0), ratio=(1.0, 1.0)), flip=0.0)


def noisy_bank():
    """Backgrounds that show where they are cropped and whether they are flipped."""
    bank = signed_bank(COUNT)
    generator = torch.Generator().manual_seed(4)
    bank.backgrounds.copy_(torch.randint(0, 256, bank.backgrounds.shape, generator=generator))
    return bank


def composed(image, mask, plate, params):
    """One image (3, H, W), as described in words, with a crop of whole pixels made by another library function."""
    side = image.shape[-1]
    top, left, height, width = (params["box"] * side).round().int().tolist()
    cut = plate[:, top : top + height, left : left + width][None]
    plate = interpolate(cut, (side, side), mode="bilinear", antialias=True)[0]
    plate = plate.numpy()[..., ::-1] if params["flipped"] else plate.numpy()
    result = np.empty_like(plate)
    for row in range(side):
        for column in range(side):
            m = float(mask[0, row, column])
            result[:, row, column] = m * image[:, row, column].numpy() + (1 - m) * plate[:, row, column]
    return result


def test_background_equals_a_slow_composition():
    bank = noisy_bank()
    source = batch_of(bank, torch.arange(COUNT))
    params = background.sample(background.Config(p=0.5), (SIDE, SIDE), uniforms(COUNT, background.SLOTS))
    view = background.apply(source, params)
    for i in range(COUNT):
        donor = (i + 1 + int(params["donor"][i].double() * (COUNT - 1))) % COUNT
        assert donor != i
        own = {key: value[i] for key, value in params.items()}
        expected = composed(source.images[i], source.masks[i], bank.backgrounds[donor].float() / 255, own)
        if not params["drawn"][i]:
            expected, donor = source.images[i].numpy(), borrowing.OWN
            assert torch.equal(view.images[i], source.images[i])
        np.testing.assert_allclose(view.images[i].numpy(), expected, atol=1e-5)
        assert view.lenders[i] == donor
    assert torch.equal(view.masks, source.masks)
    assert 10 < params["drawn"].sum() < 30


def test_background_behind_the_foreground_is_told():
    bank = signed_bank(COUNT)
    source = batch_of(bank, torch.arange(COUNT))
    params = background.sample(background.Config(p=0.5), (SIDE, SIDE), uniforms(COUNT, background.SLOTS))
    view = background.apply(source, params)
    rows = torch.where(params["drawn"], view.lenders, torch.arange(COUNT))
    assert torch.allclose(view.backgrounds, bank.backgrounds[rows] / 255)


@pytest.mark.parametrize(("plate", "colour"), [("mean", (0.3, 0.4, 0.6)), ("grey", (0.5,) * 3), ("black", (0.0,) * 3)])
def test_removed_background_is_one_colour(plate, colour):
    source = batch_of(signed_bank(COUNT), torch.arange(COUNT))
    source = Batch(source.images, source.masks, neutral=(0.3, 0.4, 0.6))
    params = background.sample(background.Config(plate=plate, p=0.5), (SIDE, SIDE), uniforms(COUNT, background.SLOTS))
    view, drawn = background.apply(source, params), params["drawn"]
    expected = source.masks * source.images + (1 - source.masks) * torch.tensor(colour)[:, None, None]
    assert torch.allclose(view.images[drawn], expected[drawn], atol=1e-6)
    assert torch.equal(view.images[~drawn], source.images[~drawn])
    assert set(view.lenders[drawn].tolist()) == {borrowing.PLAIN}


def test_mean_colour_is_0_after_normalisation():
    step = Step("background", background, background.Config(plate="mean", p=1.0))
    pipeline = Pipeline({"v": ViewSpec(("r",))}, {"r": [step]}, mean=(0.3, 0.4, 0.6), std=(0.2, 0.2, 0.2), seed=0)
    source = batch_of(signed_bank(COUNT), torch.arange(COUNT))
    view = pipeline(Batch(source.images, source.masks), torch.arange(COUNT), 1)["v"]
    removed = (source.masks == 0).expand_as(view.images)
    assert view.images[removed].abs().max() < 1e-6


def test_foreground_out_of_area_is_left_alone():
    bank = signed_bank(COUNT)
    source = batch_of(bank, torch.arange(COUNT))
    share = source.masks.mean((1, 2, 3))
    low, high = share.quantile(0.25).item(), share.quantile(0.75).item()
    config = background.Config(p=1.0, area=(low, high))
    view = background.apply(source, background.sample(config, (SIDE, SIDE), uniforms(COUNT, background.SLOTS)))
    alone = (share < low) | (share > high)
    assert 15 <= alone.sum() <= 25
    assert torch.equal(view.images[alone], source.images[alone])
    assert torch.equal(view.backgrounds[alone], source.backgrounds[alone])
    assert set(view.lenders[alone].tolist()) == {borrowing.OWN}
    assert (view.images[~alone] != source.images[~alone]).flatten(1).any(1).all()


def pipeline_of(**configs):
    """A view of each name, with a background op of these settings."""
    steps = {name: [Step("background", background, config)] for name, config in configs.items()}
    views = {name: ViewSpec((name,)) for name in configs}
    return Pipeline(views, steps, mean=(0.0,) * 3, std=(1.0,) * 3, seed=0)


@pytest.fixture(scope="module")
def large():
    return signed_bank(200, side=4)


def views_of(pipeline, bank, epochs=20):
    """Parameters over some epochs of the whole bank, by view."""
    rows = torch.arange(len(bank.images))
    made = [pipeline(batch_of(bank, rows), rows, epoch) for epoch in range(1, epochs + 1)]
    return {
        name: {key: torch.cat([views[name].params["background"][key] for views in made]) for key in ("drawn", "donor")}
        for name in made[0]
    }


def test_coins_have_their_frequency_and_are_each_views_own(large):
    views = views_of(pipeline_of(a=background.Config(p=0.1), b=background.Config(p=0.3)), large)
    a, b = views["a"]["drawn"].float(), views["b"]["drawn"].float()
    assert abs(a.mean() - 0.1) < 0.02
    assert abs(b.mean() - 0.3) < 0.03
    assert abs((a * b).mean() - 0.03) < 0.012


def test_shared_coin_falls_alike_for_all_views_with_donors_apart(large):
    coins = {name: background.Config(p=p, shared_coin=True) for name, p in (("a", 0.2), ("b", 0.2), ("c", 0.4))}
    views = views_of(pipeline_of(**coins), large)
    assert torch.equal(views["a"]["drawn"], views["b"]["drawn"])
    assert (views["a"]["drawn"] <= views["c"]["drawn"]).all()
    assert abs(views["c"]["drawn"].float().mean() - 0.4) < 0.03
    places = [(views[name]["donor"] * 199).long() for name in "ab"]
    assert (places[0] == places[1]).float().mean() < 0.02
    assert places[0].bincount(minlength=199).float().std() < 8  # 20 each, as chance has it


def test_background_lacking_what_it_needs_is_refused():
    bank = signed_bank(COUNT)
    source = batch_of(bank, torch.arange(COUNT))
    params = background.sample(background.Config(donor=STILL), (SIDE, SIDE), uniforms(COUNT, background.SLOTS))
    with pytest.raises(ValueError, match="background needs masks"):
        background.apply(Batch(source.images, bank=bank, rows=source.rows), params)
    with pytest.raises(ValueError, match="borrows from a bank"):
        background.apply(Batch(source.images, source.masks), params)
    assert background.needs(background.Config()) == {"masks", "bank"}
    assert background.needs(background.Config(plate="black")) == {"masks"}
