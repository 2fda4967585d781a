from collections.abc import Mapping
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from augment import draws
from augment.ops import blur, color_jitter, crop, flip, grayscale, rotate, solarize
from augment.pipeline import Pipeline
from augment.views import Batch, Step, Target, View, ViewSpec
from methods.addons import augself, msr
from methods.contract import Encoded, Method, Pair, Plan
from methods.objective import Objective
from methods.parts import initial
from tests.methods import small
from tests.methods.unread import without_values

RECIPES = {
    "weak": [Step("crop", crop, crop.Config()), Step("flip", flip, flip.Config())],
    "aggressive": [
        Step("color_jitter", color_jitter, color_jitter.Config()),
        Step("solarize", solarize, solarize.Config(threshold=(0.0, 1.0), p=0.5)),
        Step("grayscale", grayscale, grayscale.Config()),
        Step("blur", blur, blur.Config()),
        Step("rotate", rotate, rotate.Config()),
    ],
}
FULL = ViewSpec(("weak", "aggressive"))
EVERYTHING = augself.Config(crop=1.0, color_jitter=0.7, flip=0.5, blur=0.4, rotate=0.3, solarize=0.2, hidden=7)
WEIGHTS = {"crop": 1.0, "color_jitter": 0.7, "flip": 0.5, "blur": 0.4, "rotate": 0.3, "solarize": 0.2}


def with_recipes(plan: Plan) -> Plan:
    return replace(plan, recipes=RECIPES)


def layered(method: Method, config: augself.Config = EVERYTHING) -> Objective:
    plan = augself.rewrite(with_recipes(small.plan(method)), config)
    loss = augself.Loss(config, method.encoder.num_features, plan)
    initial.init_weights(loss, 1)
    return Objective(method, plan, {"augself": loss.double()})


def views_of(plan: Plan, batch: int = 6, *, epoch: int = 1) -> dict[str, View]:
    """What the pipeline makes of noise, in float64."""
    pipeline = Pipeline(plan.views, plan.recipes, mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2), seed=0)
    images = draws.uniform(0, "images", (batch, 3, 8, 8))
    views = pipeline(Batch(images), torch.arange(batch), epoch)
    return {name: replace(view, images=view.images.double()) for name, view in views.items()}


# --- the loss -----------------------------------------------------------------------------------------------------


def forward_by_hand(head: nn.Sequential, rows: np.ndarray) -> np.ndarray:
    """Three matrix products, two norms over the batch, two rectifiers."""
    weights = {name: value.detach().numpy() for name, value in head.named_parameters()}
    for linear, norm in (("0", "1"), ("3", "4")):
        rows = rows @ weights[f"{linear}.weight"].T
        rows = (rows - rows.mean(0)) / np.sqrt(rows.var(0) + 1e-5)
        rows = np.maximum(rows * weights[f"{norm}.weight"] + weights[f"{norm}.bias"], 0)
    return rows @ weights["6.weight"].T + weights["6.bias"]


def error_by_hand(op: str, output: np.ndarray, target: np.ndarray) -> float:
    if op == "rotate":
        chosen = [np.exp(row[k]) / np.exp(row).sum() for row, k in zip(output, target, strict=True)]
        return float(-np.log(chosen).mean())
    if op == "flip":
        probability = 1 / (1 + np.exp(-output))
        return float(-np.where(target == 1, np.log(probability), np.log(1 - probability)).mean())
    return float(((np.tanh(output) - target) ** 2).mean())


def test_loss_is_that_of_the_paper_worked_out_by_hand():
    objective = layered(small.byol_method())
    loss, views = objective.addon_losses["augself"], views_of(objective.plan, 16)
    for module in loss.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.weight.data += 0.1 * draws.normal(3, "weight", module.weight.shape)
            module.bias.data += 0.1 * draws.normal(3, "bias", module.bias.shape)
    losses = objective(views, None, small.at(0.5))
    first, second = (objective.encoder(views[name].images).detach().numpy() for name in ("first", "second"))
    rows = np.concatenate((np.concatenate((first, second), 1), np.concatenate((second, first), 1)))
    expected = 0.0
    for op, head in loss.heads.items():
        module = {step.name: step.op for steps in RECIPES.values() for step in steps}[op]
        one, other = views["first"].params, views["second"].params
        target = np.concatenate((module.compare(one, other).values, module.compare(other, one).values))
        error = error_by_hand(op, forward_by_hand(head, rows), target)
        assert losses.parts[f"loss/augself/{op}"].item() == pytest.approx(error, rel=1e-6)
        expected += WEIGHTS[op] * error
    assert set(loss.heads) == set(WEIGHTS)
    assert losses.parts["loss/augself"].item() == pytest.approx(expected, rel=1e-6)
    pairs = sum(losses.parts[f"loss/{pair.query}-{pair.key}"].item() for pair in objective.plan.pairs)
    assert losses.total.item() == pytest.approx(pairs + expected, rel=1e-6)


def official_swav_loss(objective: Objective, views: Mapping[str, View]) -> float:
    """The cross-entropies of both predictions added up, as in AugSelf's code."""
    method, scores, codes = objective.method, [], []
    for name in ("first", "second"):
        projection = method.projector(method.encoder(views[name].images)).detach().numpy()
        projection /= np.linalg.norm(projection, axis=1, keepdims=True)
        scores.append(projection @ method.prototypes.weight.detach().numpy().T)
        shares = np.exp(scores[-1] / method.config.epsilon)
        for _ in range(method.config.sinkhorn_iterations):
            shares /= shares.sum(0)
            shares /= shares.sum(1, keepdims=True)
        codes.append(shares)
    logits = [score / method.config.temperature for score in scores]
    likely = [logit - np.log(np.exp(logit).sum(1, keepdims=True)) for logit in logits]
    return float(-(codes[0] * likely[1]).sum(1).mean() - (codes[1] * likely[0]).sum(1).mean())


def test_a_weight_over_swav_means_the_same_share_of_the_loss_as_in_the_official_code():
    objective = layered(small.swav_method())
    views = views_of(objective.plan, 16)
    losses = objective(views, None, small.at(0.5))
    auxiliary = sum(weight * losses.parts[f"loss/augself/{op}"].item() for op, weight in WEIGHTS.items())
    official = official_swav_loss(objective, views) + auxiliary
    # Ours is the mean of two predictions where theirs is the sum, so all of it is half of theirs.
    assert 2 * losses.total.item() == pytest.approx(official, rel=1e-6)
    assert 2 * losses.parts["loss/augself"].item() == pytest.approx(auxiliary, rel=1e-6)


def test_solarize_shapes_agree_and_blur_can_be_reached():
    """The two bugs of the official code: a broadcast that ends at the mean, and targets beyond the tanh."""
    prediction, values = torch.tensor([[0.3], [-0.2]]), torch.tensor([[0.5], [-0.5]])
    expected = ((torch.tensor([0.3, -0.2]).tanh() - torch.tensor([0.5, -0.5])) ** 2).mean()
    torch.testing.assert_close(augself.score(prediction, Target(values, "regression")), expected)
    views = views_of(Plan({"first": FULL, "second": FULL}, (), recipes=RECIPES), 200)
    for op in (solarize, blur):
        target = op.compare(views["first"].params, views["second"].params)
        assert target.values.shape == (200, 1)
        assert 0.5 < target.values.abs().max() < 1


def test_default_heads_are_the_papers():
    loss = augself.Loss(augself.Config(), 64, with_recipes(small.plan(small.simclr_method())))
    assert set(loss.heads) == {"crop", "color_jitter"}
    for head in loss.heads.values():
        shapes = [tuple(parameter.shape) for parameter in head.parameters()]
        assert shapes == [(512, 128), (512,), (512,), (512, 512), (512,), (512,), (4, 512), (4,)]


def test_without_weights_nothing_changes():
    nothing = augself.Config(crop=0.0, color_jitter=0.0)
    method = small.byol_method()
    plan = with_recipes(small.plan(method))
    assert augself.rewrite(plan, nothing) is plan
    objective, bare = layered(method, nothing), Objective(small.byol_method(), plan, {})
    views = views_of(plan)
    totals = [one(views, None, small.at(0.5)).total for one in (objective, bare)]
    assert totals[0] == totals[1]
    assert not list(objective.addon_losses.parameters())


# --- the views ----------------------------------------------------------------------------------------------------


def compared(plan: Plan) -> tuple[str, ...]:
    """The views whose features the heads read, the first one first."""
    plan = augself.rewrite(with_recipes(plan), augself.Config())
    loss = augself.Loss(augself.Config(hidden=3), 1, plan)
    marked = {
        name: Encoded(torch.full((2, 1), float(place)), torch.zeros(2, 1), torch.zeros(2, 1))
        for place, name in enumerate(plan.views)
    }
    read = []
    loss.heads["crop"].register_forward_pre_hook(lambda _, inputs: read.append(inputs[0][0].tolist()))
    loss(views_of(plan, 2), marked, {})
    return tuple(list(plan.views)[int(place)] for place in read[0])


def test_views_are_the_methods_own_or_the_aggressive_children():
    for method in (small.simclr_method(), small.byol_method(), small.moco_method()):
        assert compared(small.plan(method)) == ("first", "second")
        children = compared(msr.rewrite(small.plan(method), msr.Config()))
        assert children == ("first_aggressive", "second_aggressive")


def test_views_are_full_sized_where_there_are_small_ones():
    pairs = [
        Pair(query, key, key_from="codes") for query in ("small", "first", "second") for key in ("first", "second")
    ]
    pairs = [pair for pair in pairs if pair.query != pair.key]
    plan = Plan({"small": ViewSpec(FULL.recipe, size=4), "first": FULL, "second": FULL}, pairs)
    assert compared(plan) == ("first", "second")


def test_views_may_lend_their_first_part_to_others():
    """As those do that matched negatives share a crop with."""
    plan = small.plan(small.simclr_method())
    negative = ViewSpec(("aggressive",), parent="first", after="weak")
    plan = replace(plan, views={**plan.views, "negative": negative})
    assert compared(plan) == ("first", "second")


def test_only_view_gets_a_second_one_for_augself_alone():
    method = small.supervised_method()
    plan = with_recipes(small.plan(method))
    rewritten = augself.rewrite(plan, EVERYTHING)
    assert rewritten == replace(plan, views={"first": FULL, "first_again": FULL})
    assert compared(plan) == ("first", "first_again")
    views, labels = views_of(rewritten), torch.arange(6) % 3
    assert not torch.equal(views["first"].images, views["first_again"].images)
    losses = layered(method)(views, labels, small.at(0.5))
    alone = Objective(small.supervised_method(), plan, {})(views, labels, small.at(0.5))
    assert losses.total == alone.total + losses.parts["loss/augself"]


def test_order_of_addons_does_not_matter():
    plan = with_recipes(small.plan(small.byol_method()))
    first = msr.rewrite(augself.rewrite(plan, EVERYTHING), msr.Config())
    second = augself.rewrite(msr.rewrite(plan, msr.Config()), EVERYTHING)
    assert first.views == second.views
    assert [(pair.query, pair.key) for pair in first.pairs] == [(pair.query, pair.key) for pair in second.pairs]


@pytest.mark.parametrize(
    ("config", "recipes", "message"),
    [
        (
            augself.Config(blur=1.0),
            {**RECIPES, "aggressive": RECIPES["aggressive"][:1]},
            r"addons\.augself\.blur > 0 needs blur in a recipe of view 'first', which has crop, flip, color_jitter;",
        ),
        (
            augself.Config(),
            {**RECIPES, "weak": RECIPES["weak"][::-1]},
            r"addons\.augself\.crop > 0 needs crop before flip, got flip, crop, color_jitter, ",
        ),
    ],
)
def test_plan_that_gives_no_target_is_refused(config, recipes, message):
    plan = replace(small.plan(small.byol_method()), recipes=recipes)
    for layers in (plan, msr.rewrite(plan, msr.Config())):
        with pytest.raises(ValueError, match=message.replace("view 'first'", "view 'first(_aggressive)?'")):
            augself.rewrite(layers, config)


def own_op() -> ModuleType:
    """A user's op: blur under another name."""
    op = ModuleType("mylab.haze")
    vars(op).update({name: getattr(blur, name) for name in ("Config", "SLOTS", "TARGET_WIDTH", "sample", "apply")})
    op.compare = lambda first, second: blur.compare(*({"blur": one["mylab.haze"]} for one in (first, second)))
    return op


def test_op_of_the_users_is_predicted_by_its_name_in_the_recipe():
    method, op = small.simclr_method(), own_op()
    config = augself.Config(crop=0.0, color_jitter=0.0, hidden=7, **{"mylab.haze": 0.5})
    recipes = {**RECIPES, "aggressive": [Step("mylab.haze", op, op.Config())]}
    plan = augself.rewrite(replace(small.plan(method), recipes=recipes), config)
    loss = augself.Loss(config, method.encoder.num_features, plan)
    objective = Objective(method, plan, {"augself": loss.double()})
    parts = objective(views_of(plan), None, small.at(0.5)).parts
    assert parts["loss/augself"] == 0.5 * parts["loss/augself/mylab.haze"] > 0


def test_op_without_a_target_is_refused():
    op = own_op()
    del op.TARGET_WIDTH
    config = augself.Config(crop=0.0, color_jitter=0.0, **{"mylab.haze": 0.5})
    plan = replace(
        small.plan(small.simclr_method()), recipes={**RECIPES, "weak": [Step("mylab.haze", op, op.Config())]}
    )
    with pytest.raises(ValueError, match=r"mylab\.haze > 0 needs an op that declares TARGET_WIDTH"):
        augself.rewrite(plan, config)


def test_key_that_is_neither_a_field_nor_an_op_is_refused_with_the_nearest():
    with pytest.raises(ValidationError, match=r"unknown key hiden; did you mean hidden\?"):
        augself.Config(hiden=5)
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        augself.Config(grayscale=-1.0)
    old = {"crop": 1.0, "color_jitter": 1.0, "flip": 0.0, "blur": 0.0, "rotate": 0.0, "solarize": 0.0, "hidden": 512}
    assert list(augself.Config().model_dump().items()) == list(old.items())


# --- the gradient -------------------------------------------------------------------------------------------------


def gradients_of_images(method: Method) -> dict[str, Tensor | None]:
    """Of AugSelf's own loss."""
    objective = layered(method)
    views = views_of(objective.plan)
    kept = {}
    loss = objective.addon_losses["augself"]
    loss.register_forward_hook(lambda _, __, losses: kept.update(total=losses.total))
    for view in views.values():
        view.images.requires_grad_()
    objective(views, None, small.at(0.5))
    kept["total"].backward()
    return {name: view.images.grad for name, view in views.items()}


def test_gradient_reaches_both_views_where_both_are_online():
    for method in (small.byol_method(), small.simclr_method()):
        found = gradients_of_images(method)
        assert found["first"].any()
        assert found["second"].any()


def test_gradient_reaches_the_query_alone_where_the_twin_makes_the_key():
    method = small.moco_method()
    passes = []
    method.encoder.register_forward_pre_hook(lambda *_: passes.append("online"))
    method.twin.register_forward_pre_hook(lambda *_: passes.append("target"))
    found = gradients_of_images(method)
    assert found["first"].any()
    assert found["second"] is None
    assert passes == ["online", "target"]


# --- training -----------------------------------------------------------------------------------------------------


def telling_features(views: Mapping[str, View]) -> dict[str, Encoded]:
    """Features that say what was done to each view."""
    ops = {step.name: step.op for steps in RECIPES.values() for step in steps}
    rows = {name: torch.cat([ops[op].describe(view.params[op]) for op in ops], dim=1) for name, view in views.items()}
    return {name: Encoded(row, row, row) for name, row in rows.items()}


def trained_heads(*, whose: int) -> tuple[dict[str, float], dict[str, float]]:
    """Each part's loss over the first and the last five of 30 steps, with features of `whose` rows further on."""
    plan, config = with_recipes(small.plan(small.byol_method())), EVERYTHING.model_copy(update={"hidden": 64})
    loss = augself.Loss(config, telling_features(views_of(plan))["first"].features.shape[1], plan)
    initial.init_weights(loss, 0)
    optimizer = torch.optim.Adam(loss.parameters(), lr=0.01)
    parts = []
    for step in range(30):
        views = views_of(plan, 64, epoch=step)
        features = {name: one.features.roll(whose, 0) for name, one in telling_features(views).items()}
        losses = loss(views, {name: Encoded(rows, rows, rows) for name, rows in features.items()}, {})
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
        parts.append(losses.parts)
    first, last = ({op: float(sum(one[op] for one in some)) / 5 for op in WEIGHTS} for some in (parts[:5], parts[-5:]))
    return first, last


def test_heads_learn_what_the_features_tell_of_their_own_images():
    first, last = trained_heads(whose=0)
    _, strangers = trained_heads(whose=1)
    for op in WEIGHTS:
        assert last[op] < 0.8 * first[op], op
        assert last[op] < 0.8 * strangers[op], op


def test_training_goes_on_bitwise_from_a_state_dict():
    whole, stopped, resumed = (layered(small.byol_method()) for _ in range(3))
    views = views_of(whole.plan)
    expected = small.train(whole, views, steps=2, lr=0.1) + small.train(whole, views, steps=2, lr=0.1)
    first = small.train(stopped, views, steps=2, lr=0.1)
    resumed.load_state_dict(stopped.state_dict())
    assert first + small.train(resumed, views, steps=2, lr=0.1) == expected
    assert any(name.startswith("addon_losses.augself.heads.rotate") for name in resumed.state_dict())


def test_a_step_never_waits_for_the_device():
    objective = layered(small.byol_method()).float()
    params = {name: view.params for name, view in views_of(objective.plan, 4).items()}
    with without_values():
        views = {name: View(torch.empty(4, 3, 8, 8), params[name]) for name in objective.plan.views}
        objective(views, None, torch.empty(())).total.backward()
