import importlib
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import normalize

from augment.boxes import Config as Box
from augment.ops import color_jitter, crop, flip
from augment.pipeline import Pipeline
from augment.views import Step, View, ViewSpec
from methods import byol, moco_v2, simclr, simsiam, supervised, swav
from methods.addons import background, msr
from methods.contract import Pair, Plan
from methods.encoders import resnet
from methods.objective import Objective
from tests.augment.banks import batch_of, signed_bank
from tests.methods import small
from tests.methods.unread import without_values

BOX = Box(scale=(0.3, 0.9))
RECIPES = {
    "weak": [Step("crop", crop, BOX), Step("flip", flip, flip.Config(p=0.4))],
    "small": [Step("crop", crop, Box(scale=(0.05, 0.2)))],
    "aggressive": [Step("color_jitter", color_jitter, color_jitter.Config())],
}
METHODS = {
    "simclr": simclr,
    "moco_v2": moco_v2,
    "byol": byol,
    "simsiam": simsiam,
    "swav": swav,
    "supervised": supervised,
}


def plan_of(name, **settings):
    if name == "supervised":
        settings = {"num_classes": 3, **settings}
    with torch.device("meta"):
        method = METHODS[name].Method(METHODS[name].Config(**settings), resnet.build(small.ENCODER))
    plan = method.plan()
    return replace(plan, recipes=RECIPES)


def colour_step(op):
    module = importlib.import_module(f"augment.ops.{op}")
    return Step(op, module, module.Config())


def rewritten(name, *, method=None, **settings):
    return background.rewrite(plan_of(name, **(method or {})), background.Config(**settings))


def step(plan, view):
    """The settings of the background op of a view."""
    (found,) = plan.recipes[f"background/{view}"]
    return found.config


# --- the plan -----------------------------------------------------------------------------------------------------


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


# --- the views ----------------------------------------------------------------------------------------------------


def views_of(plan, bank, rows=None):
    rows = torch.arange(len(bank.images)) if rows is None else rows
    pipeline = Pipeline(plan.views, plan.recipes, mean=(0.5,) * 3, std=(0.2,) * 3, seed=0)
    return pipeline(batch_of(bank, rows), rows, 2)


def test_aggressive_children_share_their_parents_background():
    plan = msr.rewrite(rewritten("byol", p_query=0.5, p_key=0.5), msr.Config())
    still = [Step("color_jitter", color_jitter, color_jitter.Config(p=0.0))]
    views = views_of(replace(plan, recipes={**plan.recipes, "aggressive": still}), signed_bank(40))
    for name in ("first", "second"):
        assert torch.allclose(views[name].images, views[f"{name}_aggressive"].images, atol=1e-5)
        assert views[name].params["background"]["drawn"].any()
    drawn = [views[name].params["background"]["donor"] for name in ("first", "second")]
    assert not torch.isclose(*drawn).any()


def test_share_left_alone_is_measured():
    bank = signed_bank(40)
    bank.masks[:10] = 0
    plan = rewritten("simclr", p_key=0.0)
    views = views_of(plan, bank)
    shares = views["first"].masks.mean((1, 2, 3))
    alone = ((shares < 0.01) | (shares > 0.9)).float().mean()
    assert 0.25 <= alone < 0.5
    assert plan.measures["background/left_alone"](views) == pytest.approx(alone.item())


def test_share_left_alone_covers_small_views():
    plan = rewritten("swav", method={"small_views": 2, "small_size": 8}, small_views=True)
    bank = signed_bank(40)
    bank.masks[:] = 0
    assert plan.measures["background/left_alone"](views_of(plan, bank)) == 1


# --- the loss -----------------------------------------------------------------------------------------------------


def contrast(name):
    """A small method in float64, its plan with matched negatives, and views of it."""
    make = small.simclr_method if name == "simclr" else small.moco_method
    method = make()
    plan = replace(background.rewrite(method.plan(), background.Config(kind="swap")), measures={})
    return method, plan, small.views_of(plan)


def test_negative_is_one_more_logit_of_its_own_query():
    method, plan, views = contrast("simclr")
    losses = Objective(method, plan, {})(views, None, small.at(0.5))
    z = {name: normalize(method.encode(view.images).projection, dim=1).detach() for name, view in views.items()}
    total, count = 0.0, len(z["first"])
    for query, key in (("first", "second"), ("second", "first")):
        for i in range(count):
            logits = [z[query][i] @ z[key][j] for j in range(count)]
            logits += [z[query][i] @ z[query][j] for j in range(count) if j != i]
            logits += [z[query][i] @ z[f"{query}_negative"][i]]
            scaled = torch.stack(logits) / method.temperature
            total += float(torch.logsumexp(scaled, 0) - scaled[i]) / count / 2
    assert losses.total.item() == pytest.approx(total, rel=1e-6)


def test_moco_negative_is_a_key_of_the_twin_that_no_queue_takes():
    method, plan, views = contrast("moco_v2")
    objective = Objective(method, plan, {})
    losses = objective(views, None, small.at(0.5))
    q = normalize(method.encode(views["first"].images).projection, dim=1).detach()
    k, n = (
        normalize(method.encode_target(views[name].images).projection, dim=1) for name in ("second", "first_negative")
    )
    total = 0.0
    for i in range(len(q)):
        scaled = torch.stack([q[i] @ k[i], q[i] @ n[i], *(method.queue.rows @ q[i])]) / method.temperature
        total += float(torch.logsumexp(scaled, 0) - scaled[0]) / len(q)
    assert losses.total.item() == pytest.approx(total, rel=1e-6)
    assert list(losses.keys) == ["second"]


def test_queue_takes_negatives_where_wished():
    method = small.moco_method()
    plan = background.rewrite(method.plan(), background.Config(kind="swap", enqueue=True))
    views = small.views_of(plan)
    objective = Objective(method, replace(plan, measures={}), {})
    losses = objective(views, None, small.at(0.5))
    assert list(losses.keys) == ["second", "first_negative"]
    objective.after_step(small.at(0.6), losses.keys)
    expected = [normalize(losses.keys[name], dim=1) for name in ("second", "first_negative")]
    assert torch.equal(method.queue.rows[: 2 * len(expected[0])], torch.cat(expected))
    with pytest.raises(ValueError, match="enqueue = true needs a method with a queue"):
        rewritten("simclr", kind="swap", enqueue=True)


@pytest.mark.parametrize(("name", "reached"), [("simclr", True), ("moco_v2", False)])
def test_gradient_reaches_a_negative_where_it_reaches_keys(name, reached):
    method, plan, views = contrast(name)
    pixels = views["first_negative"].images.clone().requires_grad_()
    views["first_negative"] = View(pixels)
    Objective(method, plan, {})(views, None, small.at(0.5)).total.backward()
    assert (pixels.grad is not None) == reached


@pytest.mark.parametrize("make", [small.simclr_method, small.moco_method])
@pytest.mark.parametrize("kind", ["remove", "swap"])
def test_a_step_never_waits_for_the_device(kind, make):
    method = make().float()
    objective = Objective(method, background.rewrite(method.plan(), background.Config(kind=kind)), {})
    with without_values():
        images, masks, progress = torch.empty(4, 3, 8, 8), torch.empty(4, 1, 8, 8), torch.empty(())
        result = objective({name: View(images, masks=masks) for name in objective.plan.views}, None, progress)
        result.total.backward()
        objective.after_step(progress, result.keys)
    assert "background/left_alone" in result.parts
