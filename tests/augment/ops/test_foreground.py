from dataclasses import replace

import pytest
import torch

from augment import borrowing
from augment.boxes import Config as Box
from augment.ops import background, foreground
from tests.augment.banks import batch_of, noise, signed_bank
from tests.augment.ops.inputs import uniforms

COUNT, SIDE = 40, 16
STILL = borrowing.Geometry(box=Box(scale=(1.0, 1.0), ratio=(1.0, 1.0)), flip=0.0)
ROWS = torch.arange(COUNT)


def sampled(**settings):
    config = foreground.Config(**{"matched": 0.5, "donor": STILL, **settings})
    return foreground.sample(config, (SIDE, SIDE), uniforms(COUNT, foreground.SLOTS, seed=5))


def others_of(bank, source, params):
    return bank.donors[borrowing.other_place(bank, source.rows, params["other"], lenders=source.lenders)]


def test_paste_puts_the_other_foreground_before_this_background():
    bank = replace(signed_bank(COUNT), images=noise(COUNT))
    source, params = batch_of(bank, ROWS), sampled()
    view = foreground.apply(source, params)
    for i, other in enumerate(others_of(bank, source, params).tolist()):
        assert other != i
        image, mask = bank.images[other] / 255, bank.masks[other] / 255
        expected = mask * image + (1 - mask) * bank.backgrounds[i] / 255 if params["paste"][i] else image
        assert torch.allclose(view.images[i], expected, atol=1e-6)
        assert torch.equal(view.masks[i], mask)
    assert 10 < params["paste"].sum() < 30


def test_fill_shows_the_other_image_through_this_foreground():
    bank = replace(signed_bank(COUNT), images=noise(COUNT))
    source, params = batch_of(bank, ROWS), sampled(cut="fill")
    view = foreground.apply(replace(source, backgrounds=None), params)
    for i, other in enumerate(others_of(bank, source, params).tolist()):
        r, q, mask = bank.images[other] / 255, source.images[i], source.masks[i]
        expected = mask * r + (1 - mask) * q if params["fill"][i] else r
        assert torch.allclose(view.images[i], expected, atol=1e-6)
        assert torch.equal(view.masks[i], mask if params["fill"][i] else bank.masks[other] / 255)


@pytest.mark.parametrize("plate", ["donor", "black"])
def test_negative_stands_before_what_its_query_stands_before(plate):
    bank = signed_bank(COUNT)
    settings = background.Config(plate=plate, p=0.5, donor=STILL)
    query = background.apply(
        batch_of(bank, ROWS), background.sample(settings, (SIDE, SIDE), uniforms(COUNT, background.SLOTS))
    )
    params = sampled(matched=1.0)
    view = foreground.apply(query, params)
    behind = (view.masks == 0) & (query.masks == 0)  # where both show nothing but background
    assert torch.equal(view.images * behind, query.images * behind)
    others = others_of(bank, query, params)
    lenders = torch.where(query.lenders == borrowing.OWN, ROWS, query.lenders)
    assert not (others == ROWS).any()
    assert not (others == lenders).any()


def test_other_image_is_cropped_and_flipped_with_its_mask():
    bank = signed_bank(COUNT)
    bank = replace(bank, images=bank.masks.expand(-1, 3, -1, -1))  # so that an image is its mask
    view = foreground.apply(batch_of(bank, ROWS), sampled(matched=0.0, donor=borrowing.Geometry()))
    assert torch.allclose(view.images, view.masks.expand(-1, 3, -1, -1), atol=1e-6)
    assert not torch.equal(view.masks, foreground.apply(batch_of(bank, ROWS), sampled(matched=0.0)).masks)


def test_query_without_a_known_background_gets_an_ordinary_negative():
    bank = signed_bank(COUNT)
    donors = torch.arange(1, COUNT)
    bank = replace(bank, donors=donors, places=(ROWS - 1).clamp(min=0))  # image 0 cannot lend
    params = sampled(matched=1.0)
    source = replace(batch_of(bank, ROWS), lenders=torch.where(ROWS == 0, borrowing.UNKNOWN, borrowing.OWN))
    others = others_of(bank, source, params)
    unmatched = foreground.apply(source, params).images
    assert torch.equal(unmatched[0], bank.images[others[0]] / 255)
    assert not torch.equal(unmatched[1], bank.images[others[1]] / 255)
    # But if its background was replaced, what is behind it is known again.
    replaced = replace(source, lenders=torch.full((COUNT,), borrowing.PLAIN))
    view = foreground.apply(replaced, params)
    assert not torch.equal(view.images[0], bank.images[others_of(bank, replaced, params)[0]] / 255)


@pytest.mark.parametrize("cut", ["paste", "fill"])
def test_outline_out_of_area_makes_an_ordinary_negative(cut):
    bank = replace(signed_bank(COUNT), images=noise(COUNT))
    source = batch_of(bank, ROWS)
    params = sampled(matched=1.0, cut=cut, area=(0.1, 0.15))
    others = others_of(bank, source, params)
    share = (bank.masks[others] if cut == "paste" else bank.masks).float().mean((1, 2, 3)) / 255
    ordinary = (share < 0.1) | (share > 0.15)
    assert 5 < ordinary.sum() < 35
    view = foreground.apply(source, params)
    unchanged = (view.images == bank.images[others] / 255).flatten(1).all(1)
    assert torch.equal(unchanged, ordinary)


def test_foreground_lacking_what_it_needs_is_refused():
    source = batch_of(signed_bank(COUNT), ROWS)
    with pytest.raises(ValueError, match="borrows from a bank"):
        foreground.apply(replace(source, bank=None), sampled())
    with pytest.raises(ValueError, match="lacks one"):
        foreground.apply(replace(source, backgrounds=None), sampled())
    with pytest.raises(ValueError, match="lacks one"):
        foreground.apply(replace(source, masks=None), sampled(cut="fill"))
    assert foreground.needs(foreground.Config()) == {"bank", "backgrounds"}
    assert foreground.needs(foreground.Config(cut="fill")) == {"bank", "masks"}
