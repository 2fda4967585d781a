import pytest
import torch

from augment import borrowing
from augment.boxes import Config as Box
from augment.views import Batch
from tests.augment.banks import signed_bank


@pytest.mark.parametrize("count", [3, 7])
def test_donor_is_any_other_image_and_all_alike(count):
    bank = signed_bank(count)
    drawn = (torch.arange(1000 * (count - 1)) + 0.5) / (1000 * (count - 1))
    for row in range(count):
        places = borrowing.other_place(bank, torch.full((len(drawn),), row), drawn)
        assert places.bincount(minlength=count).tolist() == [0 if place == row else 1000 for place in range(count)]


@pytest.mark.parametrize("count", [3, 7])
def test_other_image_is_neither_own_nor_the_lender(count):
    bank = signed_bank(count)
    drawn = (torch.arange(1000 * (count - 1) * (count - 2)) + 0.5) / (1000 * (count - 1) * (count - 2))
    for row in range(count):
        rows = torch.full((len(drawn),), row)
        for lender in [-2, -1, *range(count)]:
            places = borrowing.other_place(bank, rows, drawn, lenders=torch.full_like(rows, lender))
            counts = places.bincount(minlength=count)
            allowed = [place for place in range(count) if place not in (row, lender)]
            if lender != row:  # which never happens
                assert counts.nonzero()[:, 0].tolist() == allowed
                assert counts[allowed].max() == counts[allowed].min()


def test_largest_number_never_leads_back():
    bank = signed_bank(200)
    drawn = torch.full((200,), 1 - 2.0**-24)
    rows = torch.arange(200)
    assert torch.equal(borrowing.other_place(bank, rows, drawn), (rows - 1) % 200)


def test_images_that_cannot_lend_are_never_taken():
    bank = signed_bank(6)
    bank = type(bank)(
        bank.images, bank.masks, bank.backgrounds, torch.tensor([1, 2, 4]), torch.tensor([0, 0, 1, 2, 2, 0])
    )
    drawn = (torch.arange(1000) + 0.5) / 1000
    for row in range(6):
        taken = set(bank.donors[borrowing.other_place(bank, torch.full((1000,), row), drawn)].tolist())
        assert taken <= {1, 2, 4} - {row}
        assert len(taken) == 2


def test_places_and_flips_are_drawn_apart():
    """Else every borrowed object would lean to one side, and give the negatives away."""
    uniforms = torch.rand(4000, borrowing.SLOTS, generator=torch.Generator().manual_seed(0))
    params = borrowing.arrangement(borrowing.Geometry(box=Box(scale=(0.2, 0.5))), (32, 32), uniforms)
    middles = params["box"][:, :2] + params["box"][:, 2:] / 2
    drawn = torch.cat([middles, params["flipped"][:, None].float()], dim=1)
    assert torch.corrcoef(drawn.T).fill_diagonal_(0).abs().max() < 0.06  # four standard errors


def test_arrangement_is_drawn_like_the_ops_and_fits_the_borrower():
    uniforms = torch.rand(500, borrowing.SLOTS, generator=torch.Generator().manual_seed(0))
    params = borrowing.arrangement(borrowing.Geometry(flip=0.3), (16, 16), uniforms)
    assert abs(params["flipped"].float().mean() - 0.3) < 0.07
    assert params["box"][:, 2:].prod(1).min() > 0.15
    bank = signed_bank(500, side=32)
    small = Batch(torch.zeros(500, 3, 16, 16))
    borrowed = Batch(bank.images / 255, bank.masks / 255)
    arranged = borrowing.arranged(borrowed, params, small)
    assert arranged.images.shape == (500, 3, 16, 16)
    assert arranged.masks is not None
    assert arranged.masks.shape == (500, 1, 16, 16)
    mirrored = borrowing.arranged(borrowed, {**params, "flipped": ~params["flipped"]}, small)
    assert mirrored.masks is not None
    assert torch.equal(mirrored.masks.flip(-1), arranged.masks)
