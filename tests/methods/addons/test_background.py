from dataclasses import replace

import pytest
import torch

from augment.views import ViewSpec
from methods.addons import background, msr
from methods.contract import Pair, Plan
from tests.augment.banks import signed_bank
from tests.methods.addons.backgrounds import BOX, RECIPES, colour_step, plan_of, rewritten, step, views_of


@pytest.mark.parametrize("name", ["simclr", "moco_v2", "byol", "simsiam", "swav"])
def test_background_comes_between_geometry_and_colour(name):
    plan = rewritten(name, kind="random", p_query=0.1, p_key=0.3)
    assert plan.views["first"].recipe == ("weak", "background/first", "aggressive")
    assert plan.views["second"].recipe == ("weak", "background/second", "aggressive")
    assert (step(plan, "first").p, step(plan, "second").p) == (0.1, 0.3)
    assert list(plan.pairs) == list(plan_of(name).pairs)
    assert {key: plan.recipes[key] for key in RECIPES} == RECIPES


def test_only_view_of_an_image_is_a_query():
    plan = rewritten("supervised", p_query=0.1, p_key=0.3)
    (view,) = plan.views
    assert step(plan, view).p == 0.1


def test_view_that_no_probability_concerns_stays_as_it_was():
    plan = rewritten("byol", p_query=0.0)
    assert plan.views["first"] == plan_of("byol").views["first"]
    untouched = rewritten("byol", p_query=0.0, p_key=0.0)
    assert untouched.views == plan_of("byol").views
    assert untouched.measures == {}


@pytest.mark.parametrize(("wanted", "number"), [(False, 2), (True, 5)])
def test_small_views_are_left_alone_unless_wished(wanted, number):
    method = {"small_views": 3}
    plan = rewritten("swav", method=method, small_views=wanted)
    changed = {name for name in plan.views if f"background/{name}" in plan.views[name].recipe}
    assert changed >= {"first", "second"}
    assert len(changed) == number
    if wanted:
        assert step(plan, "small_1").donor.box.scale == (0.05, 0.2)  # as the view itself is cropped


def test_what_is_borrowed_is_cropped_and_flipped_as_the_view():
    plan = rewritten("simclr", kind="swap")
    for settings in (step(plan, "first"), step(plan, "first_negative")):
        assert settings.donor.box == BOX
        assert settings.donor.flip == 0.4
    bare = Plan({"v": ViewSpec(("aggressive",))}, [Pair("v", "v")], recipes=RECIPES)
    still = step(background.rewrite(bare, background.Config()), "v").donor
    assert (still.box.scale, still.flip) == ((1.0, 1.0), 0.0)


@pytest.mark.parametrize("name", ["simclr", "moco_v2"])
def test_background_before_the_crop_is_cropped_with_its_foreground(name):
    plan = rewritten(name, kind="swap", order="before_crop", p_query=0.5)
    assert plan.views["first"].recipe == ("background/first", "weak", "aggressive")
    assert plan.views["first_negative"] == ViewSpec(
        ("background/first_negative", "weak", "aggressive"), parent="first", after="background/first"
    )
    assert plan.measures == {}
    still = replace(plan, recipes={**plan.recipes, "aggressive": []})
    bank = signed_bank(40)
    views = views_of(still, bank)
    params = views["first"].params
    assert params["background"]["drawn"].any()
    for view in ("first", "first_negative"):
        box = views[view].params["crop"]["box"]
        assert not torch.equal(box, views["second"].params["crop"]["box"])
        donor = views[view].params["background" if view == "first" else "foreground"]["box"]
        assert torch.equal(donor, torch.tensor([[0.0, 0.0, 1.0, 1.0]]).expand(40, 4))


@pytest.mark.parametrize("op", ["blur", "color_jitter", "grayscale", "solarize"])
def test_colours_before_the_background_are_refused(op):
    early = [*RECIPES["weak"], colour_step(op)]
    plan = replace(plan_of("simclr"), recipes={**RECIPES, "weak": early})
    with pytest.raises(ValueError, match=f"recipe weak has {op}: move it to the recipe aggressive"):
        background.rewrite(plan, background.Config())
    assert background.rewrite(plan, background.Config(order="before_crop")).measures == {}


def test_kinds_and_settings_reach_the_ops():
    removed = rewritten("simclr", kind="remove", colour="black", p_negative=0.0)
    assert step(removed, "first").plate == "black"
    area = {"area": (0.05, 0.5), "hardness": "hard"}
    plan = rewritten("simclr", kind="swap", shared_coin=True, p_negative=0.6, negative="fill", separation=area)
    first, negative = step(plan, "first"), step(plan, "first_negative")
    assert (first.plate, first.shared_coin, first.area) == ("donor", True, (0.05, 0.5))
    assert (negative.matched, negative.cut, negative.area) == (0.6, "fill", (0.05, 0.5))
    assert plan.separation.hardness == "hard"


def test_negative_leaves_its_query_and_goes_on_as_the_key():
    plan = rewritten("simclr", kind="swap")
    assert [(pair.query, pair.key, pair.negatives) for pair in plan.pairs] == [
        ("first", "second", ("first_negative",)),
        ("second", "first", ("second_negative",)),
    ]
    assert plan.views["first_negative"] == ViewSpec(
        ("background/first_negative", "aggressive"), parent="first", after="background/first"
    )
    one_way = rewritten("moco_v2", kind="swap", p_key=0.0)
    assert set(one_way.views) == {"first", "second", "first_negative"}
    assert "background/second" not in one_way.recipes
    assert len(rewritten("moco_v2", method={"symmetric": True}, kind="swap").views) == 4


def test_negative_needs_no_other_background_behind_its_query():
    plan = rewritten("moco_v2", kind="swap", p_query=0.0, p_key=0.0)
    assert plan.pairs[0].negatives == ("first_negative",)
    assert step(plan, "first").p == 0.0
    views = views_of(plan, signed_bank(40))
    assert views["first_negative"].params["foreground"]["paste"].any()


def test_random_backgrounds_and_probability_0_make_no_negatives():
    for settings in ({"kind": "random", "p_negative": 0.9}, {"kind": "swap", "p_negative": 0.0}):
        assert set(rewritten("simclr", **settings).views) == {"first", "second"}


@pytest.mark.parametrize("name", ["byol", "simsiam", "swav", "supervised"])
@pytest.mark.parametrize("kind", ["swap", "remove"])
def test_negatives_of_methods_without_contrast_are_refused(name, kind):
    with pytest.raises(
        ValueError, match=r"background's matched negatives need .* set addons.background.p_negative to 0"
    ):
        rewritten(name, kind=kind)
    assert rewritten(name, kind=kind, p_negative=0.0).measures


@pytest.mark.parametrize("name", ["simclr", "moco_v2"])
@pytest.mark.parametrize("kind", ["random", "swap"])
def test_order_of_msr_and_background_is_of_no_influence(name, kind):
    settings, schedule = background.Config(kind=kind), msr.Config()
    one = background.rewrite(msr.rewrite(plan_of(name), schedule), settings)
    other = msr.rewrite(background.rewrite(plan_of(name), settings), schedule)
    assert one.views == other.views
    assert one.recipes == other.recipes
    ends = [[(p.query, p.key, p.key_from, p.negatives) for p in plan.pairs] for plan in (one, other)]
    assert ends[0] == ends[1]
    assert one.measures.keys() == other.measures.keys()
    assert one.views["first"].recipe == ("weak", "background/first")
    assert one.views["first_aggressive"] == ViewSpec(("aggressive",), parent="first")
    if kind == "swap":
        assert ends[0][0][3] == ("first_negative",)
        assert ends[0][1][3] == ("first_negative_aggressive",)
        assert one.views["first_negative_aggressive"] == ViewSpec(("aggressive",), parent="first_negative")
