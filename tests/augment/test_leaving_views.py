"""Views that leave another one in the middle of its recipes, on banks that tell who lent what."""

from dataclasses import replace

import pytest
import torch

from augment.ops import background, color_jitter, crop, flip, foreground
from augment.pipeline import Pipeline
from augment.views import Bank, Step, ViewSpec
from tests.augment.banks import batch_of, signed_bank

RECIPES = {
    "weak": [Step("crop", crop, crop.Config()), Step("flip", flip, flip.Config())],
    "behind": [Step("background", background, background.Config(p=0.5))],
    "negative": [Step("foreground", foreground, foreground.Config(matched=0.7))],
    "aggressive": [Step("color_jitter", color_jitter, color_jitter.Config())],
}
WHOLE = ViewSpec(("weak", "behind", "aggressive"))
VIEWS = {
    "query": WHOLE,
    "negative": ViewSpec(("negative", "aggressive"), parent="query", after="behind"),
    "other": replace(WHOLE),
}
BANK = signed_bank(40)


def pipeline(views=VIEWS, recipes=RECIPES):
    return Pipeline(views, recipes, mean=(0.5,) * 3, std=(0.2,) * 3, seed=0)


def made(views=VIEWS, rows=None, recipes=RECIPES):
    rows = torch.arange(40) if rows is None else rows
    return pipeline(views, recipes)(batch_of(BANK, rows), rows, 3)


def same(one, other):
    assert torch.equal(one.images, other.images)
    assert torch.equal(one.masks, other.masks)
    for op in one.params:
        assert all(torch.equal(one.params[op][key], other.params[op][key]) for key in one.params[op])


def test_view_that_is_left_is_what_it_was():
    alone = made({"query": WHOLE})["query"]
    same(made()["query"], alone)
    assert list(made()["query"].params) == ["crop", "flip", "background", "color_jitter"]


def test_leaving_view_shares_what_came_before_and_draws_the_rest_anew():
    views = made()
    query, negative = views["query"].params, views["negative"].params
    assert list(negative) == ["crop", "flip", "background", "foreground", "color_jitter"]
    for op in ("crop", "flip", "background"):
        assert all(torch.equal(query[op][key], negative[op][key]) for key in query[op])
    assert not torch.equal(query["color_jitter"]["brightness"], negative["color_jitter"]["brightness"])


def test_leaving_view_shows_the_pixels_of_the_place_where_it_left():
    still = RECIPES | {"aggressive": [Step("color_jitter", color_jitter, color_jitter.Config(p=0.0))]}
    views = made(recipes=still)
    query, negative = views["query"], views["negative"]
    behind = (query.masks == 0) & (negative.masks == 0) & negative.params["foreground"]["paste"][:, None, None, None]
    shown = behind.expand_as(query.images)
    agree = (query.images - negative.images)[shown].abs() < 1e-5
    assert agree.float().mean() > 0.9  # but for pastes that had nothing to show, which are left as they are
    assert behind.float().mean() > 0.2


def test_leaving_at_the_end_is_starting_from_the_finished_view():
    base = ViewSpec(("weak", "behind"))
    child = ViewSpec(("aggressive",), parent="base")
    views = {"base": base, "child": child}
    named = {"base": base, "child": replace(child, after="behind")}
    for name, view in made(views).items():
        same(made(named)[name], view)


def test_views_do_not_depend_on_the_batch_they_are_made_in():
    whole, order = made(), torch.tensor([31, 2, 17])
    for name, view in made(rows=order).items():
        assert torch.allclose(view.images, whole[name].images[order], atol=1e-6)
        assert torch.equal(view.masks, whole[name].masks[order])


def test_views_of_equal_steps_are_made_together_by_whatever_names(monkeypatch):
    calls = []
    monkeypatch.setattr(color_jitter, "apply", lambda batch, params, size: calls.append(len(batch.images)) or batch)
    views = {"query": WHOLE, "other": ViewSpec(("weak", "behind_too", "aggressive"))}
    made(views, recipes=RECIPES | {"behind_too": RECIPES["behind"]})
    assert calls == [80]
    made(views, recipes=RECIPES | {"behind_too": [Step("background", background, background.Config(p=0.4))]})
    assert calls == [80, 40, 40]


def test_pipeline_tells_what_its_steps_need():
    assert pipeline().needs == {"masks", "bank", "backgrounds"}
    assert pipeline({"v": WHOLE}).needs == {"masks", "bank"}
    assert pipeline({"v": ViewSpec(("weak", "aggressive"))}).needs == set()


@pytest.mark.parametrize(
    ("view", "law"),
    [
        (ViewSpec(("negative",), parent="query", after="nothing"), r"after one of \['weak', 'behind', .*got 'nothing'"),
        (ViewSpec(("negative",), after="weak"), r"'v' must leave its parent after one of \[\], got 'weak'"),
        (ViewSpec(("weak",), parent="query", after="behind"), r"apply an op once, got \['crop', 'flip'\] twice"),
    ],
)
def test_impossible_leaves_are_refused(view, law):
    with pytest.raises(ValueError, match=law):
        pipeline({"query": WHOLE, "v": view})


@pytest.mark.gpu
def test_other_backgrounds_on_gpu_agree_with_cpu():
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    rows, bank = torch.arange(40), Bank(**{name: plane.cuda() for name, plane in vars(BANK).items()})
    ours = pipeline()(batch_of(bank, rows.cuda()), rows.cuda(), 3)
    for name, view in made().items():
        assert (view.images - ours[name].images.cpu()).abs().max() < 1e-3 / 0.2
        assert torch.allclose(view.masks, ours[name].masks.cpu(), atol=1e-3)
        for op in ("background", "foreground"):
            for key, value in view.params.get(op, {}).items():
                assert torch.allclose(value.float(), ours[name].params[op][key].cpu().float(), atol=1e-6)
