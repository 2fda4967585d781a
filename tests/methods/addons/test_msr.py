import math
from itertools import pairwise

import pytest
import torch

from augment.views import ViewSpec
from methods.addons import msr
from methods.contract import Pair, Plan
from tests.methods import small


def b(progress: float, **fields) -> float:
    return float(msr.weight(msr.Config(**fields), small.at(progress)))


# --- the weight ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base_weight", "values"), [(0.3, (0.3, 0.2561, 0.15, 0.0439, 0)), (0.4, (0.4, 0.3414, 0.2, 0.0586, 0))]
)
def test_cosine_weight_has_the_papers_values(base_weight, values):
    got = [b(quarter / 4, base_weight=base_weight, schedule="cosine") for quarter in range(5)]
    assert got == pytest.approx(values, abs=5e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("schedule", ["linear", "cosine", "step"])
def test_weight_ends_at_exactly_zero(schedule, dtype):
    assert msr.weight(msr.Config(schedule=schedule), torch.tensor(1.0, dtype=dtype)) == 0


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine", "step", "exponential"])
def test_weight_starts_at_base_and_never_rises(schedule):
    values = [b(k / 100, base_weight=0.6, schedule=schedule, steps=3) for k in range(101)]
    assert values[0] == 0.6
    assert all(x >= y >= 0 for x, y in pairwise(values))


def test_constant_and_linear_weights():
    assert {b(p, schedule="constant", base_weight=0.4) for p in (0.0, 0.3, 1.0)} == {0.4}
    assert b(0.25, schedule="linear", base_weight=0.4) == pytest.approx(0.3)


def test_mean_of_cosine_and_linear_weight_is_half_the_base():
    for schedule in ("cosine", "linear"):
        mean = sum(b((k + 0.5) / 1000, schedule=schedule, base_weight=0.4) for k in range(1000)) / 1000
        assert mean == pytest.approx(0.2, rel=1e-5)


@pytest.mark.parametrize(
    ("steps", "values"),
    [
        (1, [0.6] * 6 + [0.0] * 6),
        (2, [0.6] * 4 + [0.3] * 4 + [0.0] * 4),
        (3, [0.6] * 3 + [0.4] * 3 + [0.2] * 3 + [0.0] * 3),
    ],
)
def test_step_weight_is_a_staircase_of_equal_parts(steps, values):
    middles = [(k + 0.5) / 12 for k in range(12)]
    got = [b(middle, schedule="step", base_weight=0.6, steps=steps) for middle in middles]
    assert got == pytest.approx(values, abs=1e-12)


def test_exponential_weight():
    assert b(0.5, schedule="exponential", base_weight=0.4, decay_rate=2.0) == pytest.approx(0.4 / math.e)
    assert b(1.0, schedule="exponential", base_weight=0.4, decay_rate=2.0) == pytest.approx(0.4 / math.e**2)


# --- the plan -----------------------------------------------------------------------------------------------------


def test_views_split_into_weak_parents_and_aggressive_children():
    plan = msr.rewrite(small.plan(small.byol_method()), msr.Config())
    assert plan.views == {
        "first": ViewSpec(("weak",)),
        "first_aggressive": ViewSpec(("aggressive",), parent="first"),
        "second": ViewSpec(("weak",)),
        "second_aggressive": ViewSpec(("aggressive",), parent="second"),
    }


def test_what_comes_before_the_aggressive_part_is_shared():
    view = ViewSpec(("weak", "background", "aggressive"), size=24)
    plan = msr.rewrite(Plan({"a": view, "b": view}, [Pair("a", "b")]), msr.Config())
    assert plan.views["a"] == ViewSpec(("weak", "background"), size=24)
    assert plan.views["a_aggressive"] == ViewSpec(("aggressive",), parent="a", size=24)


@pytest.mark.parametrize(
    ("make", "weak_source", "peer_source", "scale"),
    [(small.byol_method, "target", "prediction", 1.0), (small.simclr_method, "online", "online", 0.5)],
)
def test_pairs_are_cross_crop_and_share_the_weight(make, weak_source, peer_source, scale):
    plan = msr.rewrite(small.plan(make()), msr.Config(base_weight=0.4, schedule="linear"))
    got = [(p.query, p.key, p.key_from, float(p.weight_at(small.at(0.25)))) for p in plan.pairs]
    expected = []
    for q, k in (("first", "second"), ("second", "first")):
        expected.append((f"{q}_aggressive", k, weak_source, pytest.approx(0.7 * scale)))
        expected.append((f"{q}_aggressive", f"{k}_aggressive", peer_source, pytest.approx(0.3 * scale)))
    assert got == expected
    assert float(plan.schedules["msr/weight"](small.at(0.25))) == pytest.approx(0.3)


def test_scheduled_pairs_negatives_and_schedules_are_carried_on():
    view = ViewSpec(("weak", "aggressive"))
    plan = Plan(
        {"a": view, "b": view, "n": view},
        [Pair("a", "b", weight=lambda p: p * 2, negatives=("n",))],
        {"other": lambda p: p},
    )
    weak, peer = msr.rewrite(plan, msr.Config(base_weight=0.4, schedule="constant")).pairs
    assert (weak.negatives, peer.negatives) == (("n",), ("n_aggressive",))
    assert float(weak.weight_at(small.at(0.25))) == pytest.approx(0.3)
    assert float(peer.weight_at(small.at(0.25))) == pytest.approx(0.2)
    assert set(msr.rewrite(plan, msr.Config()).schedules) == {"other", "msr/weight"}


@pytest.mark.parametrize("source", ["codes", "labels"])
def test_keys_that_are_no_views_are_refused(source):
    view = ViewSpec(("weak", "aggressive"))
    plan = Plan({"a": view, "b": view}, [Pair("a", "b", key_from=source)])
    with pytest.raises(ValueError, match=f"this method's are {source}; drop addons.msr"):
        msr.rewrite(plan, msr.Config())


@pytest.mark.parametrize("recipe", [("weak",), ("aggressive",), ("aggressive", "weak")])
def test_views_without_an_aggressive_part_are_refused(recipe):
    plan = Plan({"a": ViewSpec(recipe), "b": ViewSpec(recipe)}, [Pair("a", "b")])
    with pytest.raises(ValueError, match=r"recipe ends in 'aggressive'.*for 'a'"):
        msr.rewrite(plan, msr.Config())
