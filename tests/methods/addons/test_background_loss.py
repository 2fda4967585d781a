"""What becomes of the views that backgrounds are put into, and of the losses with matched negatives."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import normalize

from augment.ops import color_jitter
from augment.views import Step, View
from methods.addons import background, msr
from methods.objective import Objective
from tests.augment.banks import signed_bank
from tests.methods import small
from tests.methods.addons.backgrounds import rewritten, views_of
from tests.methods.unread import without_values


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
    plan = replace(background.rewrite(small.plan(method), background.Config(kind="swap")), measures={})
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
    plan = background.rewrite(small.plan(method), background.Config(kind="swap", enqueue=True))
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
    objective = Objective(method, background.rewrite(small.plan(method), background.Config(kind=kind)), {})
    with without_values():
        images, masks, progress = torch.empty(4, 3, 8, 8), torch.empty(4, 1, 8, 8), torch.empty(())
        result = objective({name: View(images, masks=masks) for name in objective.plan.views}, None, progress)
        result.total.backward()
        objective.after_step(progress, result.keys)
    assert "background/left_alone" in result.parts
