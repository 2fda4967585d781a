from collections.abc import Mapping, Sequence

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException

from augment import draws
from augment.views import View, ViewSpec
from methods import byol
from methods.addons import msr
from methods.contract import Encoded, Losses, Pair, Plan
from methods.encoders import resnet
from methods.objective import Objective
from methods.parts import initial
from tests.methods import small
from tests.methods.unread import without_values

WEAK = ViewSpec(("weak",))


class Recorder(nn.Module):
    """A method that writes down what it is asked for; views are of one number, and so is all that comes of them."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(1, 1, bias=False)
        nn.init.constant_(self.encoder.weight, 2)
        self.calls: list[tuple] = []

    def _encoded(self, images: Tensor, scale: float) -> Encoded:
        features = scale * self.encoder(images[:, :1, 0, 0])  # (B, 1)
        return Encoded(features, features + 1, features + 2)

    def encode(self, images: Tensor) -> Encoded:
        self.calls.append(("online", images[0, 0, 0, 0].item()))
        return self._encoded(images, 1)

    @torch.no_grad()
    def encode_target(self, images: Tensor) -> Encoded:
        self.calls.append(("target", images[0, 0, 0, 0].item()))
        return self._encoded(images, 10)

    def key(self, encoded: Encoded, view: str) -> Tensor:
        self.calls.append(("key", view))
        return encoded.projection

    def pair_loss(self, query: Encoded, key: Tensor, negatives: Sequence[Tensor]) -> Tensor:
        return (query.prediction * key).mean() + 100 * sum(negative.mean() for negative in negatives)

    def after_step(self, progress: Tensor, keys: Mapping[str, Tensor]) -> None:
        self.calls.append(("after", float(progress), set(keys)))

    def parameter_groups(self) -> list[dict]:
        return [{"params": [self.encoder.weight]}]


class FeatureLoss(nn.Module):
    """An add-on's loss with a weight of its own."""

    views = ("extra",)

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(1, 1, bias=False)
        nn.init.constant_(self.head.weight, 3)

    def forward(
        self, views: Mapping[str, View], online: Mapping[str, Encoded], target: Mapping[str, Encoded]
    ) -> Losses:
        total = self.head(online["extra"].features).mean()
        return Losses(total, {"half": total.detach() / 2})


def numbers(**values: float) -> dict[str, View]:
    return {name: View(torch.full((4, 3, 2, 2), float(value))) for name, value in values.items()}


def walk(pairs: Sequence[Pair], views: Mapping[str, View], labels: Tensor | None = None, **losses: nn.Module):
    method = Recorder()
    objective = Objective(method, Plan(dict.fromkeys(views, WEAK), pairs), losses)
    return objective(views, labels, torch.tensor(0.25)), method, objective


def test_views_that_nobody_reads_are_not_encoded():
    _, method, _ = walk([Pair("a", "b", key_from="target")], numbers(a=1, b=2, c=3))
    assert method.calls == [("online", 1.0), ("target", 2.0), ("key", "b")]


def test_views_are_encoded_once_per_network_and_keys_made_once():
    pairs = [Pair(q, k, key_from="target") for q in "abc" for k in "ab" if q != k]
    _, method, _ = walk(pairs, numbers(a=1, b=2, c=3))
    assert sorted(method.calls) == [
        *[("key", "a"), ("key", "b")],
        *[("online", 1.0), ("online", 2.0), ("online", 3.0)],
        *[("target", 1.0), ("target", 2.0)],
    ]


@pytest.mark.parametrize(
    ("source", "key"),
    [("online", 2 * 2 + 1), ("codes", 2 * 2 + 1), ("target", 10 * 2 * 2 + 1), ("prediction", 2 * 2 + 2)],
)
def test_each_source_gives_its_key(source, key):
    result, _, _ = walk([Pair("a", "b", key_from=source)], numbers(a=1, b=2))
    assert result.total.item() == (2 * 1 + 2) * key


def test_prediction_keys_are_constants_and_online_keys_the_methods_choice():
    for source, gradient in (("prediction", 1 * 6), ("online", 1 * 5 + 2 * 4)):
        result, method, _ = walk([Pair("a", "b", key_from=source)], numbers(a=1, b=2))
        result.total.backward()
        assert method.encoder.weight.grad.item() == gradient


def test_labels_are_keys_as_they_are():
    labels = torch.tensor([1, 2, 3, 4])
    result, method, _ = walk([Pair("a", "a", key_from="labels")], numbers(a=1), labels)
    assert result.total.item() == (2 + 2) * 2.5
    assert method.calls == [("online", 1.0)]
    with pytest.raises(ValueError, match="choose a labelled data set"):
        walk([Pair("a", "a", key_from="labels")], numbers(a=1))


def test_negatives_are_keys_of_the_pairs_source():
    result, method, _ = walk([Pair("a", "b", key_from="target", negatives=("n",))], numbers(a=1, b=2, n=3))
    assert result.total.item() == (2 + 2) * 41 + 100 * 61
    assert ("online", 3.0) not in method.calls


def test_weights_and_schedules_follow_progress():
    method = Recorder()
    plan = Plan(
        {"a": WEAK, "b": WEAK}, [Pair("a", "b", lambda p: 8 * p), Pair("b", "a", 0.5)], {"mine": lambda p: p / 2}
    )
    result = Objective(method, plan, {})(numbers(a=1, b=2), None, torch.tensor(0.25))
    first, second = (2 + 2) * 5, (4 + 2) * 3
    assert result.total.item() == 2 * first + 0.5 * second
    assert {name: part.item() for name, part in result.parts.items()} == {
        "loss/a-b": first,
        "loss/b-a": second,
        "mine": 0.125,
    }
    assert not any(part.requires_grad for part in result.parts.values())


def test_addon_losses_read_their_views_and_train_their_weights():
    loss = FeatureLoss()
    result, method, objective = walk([Pair("a", "b", key_from="target")], numbers(a=1, b=2, extra=5), feature=loss)
    assert ("online", 5.0) in method.calls
    assert result.parts["loss/feature"].item() == 3 * 10
    assert result.parts["loss/feature/half"].item() == 3 * 5
    assert result.total.item() == (2 + 2) * 41 + 30
    assert [group["params"] for group in objective.parameter_groups()] == [[method.encoder.weight], [loss.head.weight]]


def test_keys_to_store_are_detached_and_the_methods_own():
    pairs = [Pair("a", "b", key_from="target", negatives=("n",)), Pair("a", "c", key_from="prediction"), Pair("b", "a")]
    result, _, _ = walk(pairs, numbers(a=1, b=2, c=3, n=4))
    assert {view: key[0].item() for view, key in result.keys.items()} == {"b": 41, "a": 3}
    assert not any(key.requires_grad for key in result.keys.values())


def test_after_step_hands_on_keys_and_ends_at_one():
    result, method, objective = walk([Pair("a", "b")], numbers(a=1, b=2))
    objective.after_step(torch.tensor(0.5), result.keys)
    objective.after_step(torch.tensor(1.125), result.keys)
    assert method.calls[-2:] == [("after", 0.5, {"b"}), ("after", 1.0, {"b"})]


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (Plan({"a": WEAK}, []), "at least one pair"),
        (Plan({"a": WEAK}, [Pair("a", "b")]), "names the view 'b', which the plan lacks; it has a"),
        (Plan({"a": WEAK, "b": WEAK}, [Pair("a", "b", negatives=("n",))]), "names the view 'n'"),
        (Plan({"a": WEAK, "b": ViewSpec(("weak",), parent="z")}, [Pair("a", "b")]), "names the parent 'z'"),
        (Plan({"a": WEAK, "b": WEAK}, [Pair("a", "b"), Pair("a", "b")]), "got a -> b twice"),
    ],
)
def test_plan_that_cannot_be_walked_is_refused(plan, message):
    with pytest.raises(ValueError, match=message):
        Objective(Recorder(), plan, {})


def test_loss_that_reads_an_unknown_view_is_refused():
    with pytest.raises(ValueError, match="names the view 'extra'"):
        Objective(Recorder(), Plan({"a": WEAK, "b": WEAK}, [Pair("a", "b")]), {"feature": FeatureLoss()})


def test_target_keys_need_a_twin():
    method = small.simclr_method()
    plan = Plan(small.plan(method).views, [Pair("first", "second", key_from="target")])
    with pytest.raises(ValueError, match=r"needs a method with encode_target, which methods\.simclr lacks"):
        Objective(method, plan, {})


def test_low_precision_ends_before_the_loss():
    config = byol.Config(hidden=8, outputs=4)
    method = byol.Method(config, resnet.build(small.ENCODER))
    initial.init_weights(method, 0)
    plan = msr.rewrite(byol.plan(config), msr.Config())
    views = {name: View(draws.normal(0, name, (4, 3, 8, 8))) for name in plan.views}
    seen = []
    pair_loss = method.pair_loss
    method.pair_loss = lambda query, key, negatives: (
        seen.extend([query.features.dtype, query.prediction.dtype, key.dtype, (key @ key.T).dtype])
        or pair_loss(query, key, negatives)
    )
    with torch.autocast("cpu", torch.bfloat16):
        total = Objective(method, plan, {})(views, None, torch.tensor(0.5, dtype=torch.float64)).total
    assert {*seen, total.dtype} == {torch.float32}


def over_msr(make) -> Objective:
    method = make()
    return Objective(method, msr.rewrite(small.plan(method), msr.Config()), {})


@pytest.mark.parametrize("make", [small.simclr_method, small.moco_method, small.byol_method, small.simsiam_method])
def test_training_goes_on_bitwise_from_a_state_dict(make):
    whole, stopped, resumed = (over_msr(make) for _ in range(3))
    views = small.views_of(whole.plan)
    expected = small.train(whole, views, steps=2, lr=0.1) + small.train(whole, views, steps=2, lr=0.1)
    first = small.train(stopped, views, steps=2, lr=0.1)
    resumed.load_state_dict(stopped.state_dict())
    assert first + small.train(resumed, views, steps=2, lr=0.1) == expected
    assert all(
        torch.equal(x, y) for x, y in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True)
    )


def test_a_step_over_msr_never_waits_for_the_device():
    objective = over_msr(small.byol_method).float()
    with without_values():
        views = {name: View(torch.empty(4, 3, 8, 8)) for name in objective.plan.views}
        progress = torch.empty(())
        result = objective(views, None, progress)
        result.total.backward()
        objective.after_step(progress, result.keys)
        with pytest.raises(DataDependentOutputException):
            result.total.item()
