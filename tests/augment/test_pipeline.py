import pytest
import torch

from augment.ops import blur, color_jitter, crop, flip, grayscale, solarize
from augment.pipeline import Pipeline
from augment.views import Batch, Step, ViewSpec
from tests.augment.ops.inputs import batch

OPS = {
    "crop": crop,
    "flip": flip,
    "color_jitter": color_jitter,
    "grayscale": grayscale,
    "blur": blur,
    "solarize": solarize,
}
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


def steps(*names, **configs):
    return [Step(name, OPS[name], configs.get(name, OPS[name].Config())) for name in names]


RECIPES = {"weak": steps("crop", "flip"), "aggressive": steps("color_jitter", "grayscale", "blur")}
FULL = ViewSpec(("weak", "aggressive"))
MSR = {
    "weak_1": ViewSpec(("weak",)),
    "weak_2": ViewSpec(("weak",)),
    "aggressive_1": ViewSpec(("aggressive",), parent="weak_1"),
    "aggressive_2": ViewSpec(("aggressive",), parent="weak_2"),
}


def pipeline(views, recipes=RECIPES, seed=0):
    return Pipeline(views, recipes, mean=MEAN, std=STD, seed=seed)


def same(first, second):
    assert first.params.keys() == second.params.keys()
    for op in first.params:
        assert all(torch.equal(first.params[op][key], second.params[op][key]) for key in first.params[op])
    assert torch.allclose(first.images, second.images, atol=1e-5)
    assert torch.allclose(first.masks, second.masks, atol=1e-5)


def test_pipeline_makes_each_view_by_its_recipe_and_normalises_last():
    source, rows = batch(8), torch.arange(8)
    views = pipeline({"plain": ViewSpec(()), "weak": ViewSpec(("weak",)), "full": FULL})(source, rows, 0)
    assert list(views) == ["plain", "weak", "full"]
    expected = (source.images - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    assert torch.allclose(views["plain"].images, expected)
    assert torch.equal(views["plain"].masks, source.masks)
    assert [list(view.params) for view in views.values()] == [
        [],
        ["crop", "flip"],
        [step.name for r in RECIPES.values() for step in r],
    ]
    assert Pipeline({"v": FULL}, RECIPES, mean=MEAN, std=STD, seed=0)(Batch(source.images), rows, 0)["v"].masks is None


def test_pipeline_is_a_function_of_seed_epoch_and_row():
    source, rows = batch(8), torch.arange(8)
    made = pipeline({"v": FULL})(source, rows, 3)["v"]
    same(pipeline({"v": FULL})(source, rows, 3)["v"], made)
    for other in (
        pipeline({"v": FULL})(source, rows, 4)["v"],
        pipeline({"v": FULL}, seed=1)(source, rows, 3)["v"],
        pipeline({"v": FULL})(source, rows + 8, 3)["v"],
    ):
        assert not torch.isclose(other.params["crop"]["box"], made.params["crop"]["box"]).all(1).any()


def test_view_does_not_depend_on_the_batch_it_is_made_in():
    source, rows = batch(16), torch.arange(100, 116)
    whole = pipeline(MSR)(source, rows, 2)
    order = torch.tensor([11, 3, 7])
    part = pipeline(MSR)(Batch(source.images[order], source.masks[order]), rows[order], 2)
    for name, view in part.items():
        assert torch.allclose(view.images, whole[name].images[order], atol=1e-5)
        for op, params in view.params.items():
            assert all(torch.equal(value, whole[name].params[op][key][order]) for key, value in params.items())


def test_views_made_in_parts_are_the_same(monkeypatch):
    source, rows = batch(7), torch.arange(7)
    views = MSR | {"small": ViewSpec(("weak",), size=16)}
    whole = pipeline(views)(source, rows, 2)
    monkeypatch.setattr("augment.pipeline._AT_ONCE", 3 * 4 * 12 * 32 * 32)  # two images' views
    calls = []
    monkeypatch.setattr(
        crop, "sample", lambda *given, sample=crop.sample: calls.append(len(given[2])) or sample(*given)
    )
    for name, view in pipeline(views)(source, rows, 2).items():
        same(whole[name], view)
    assert calls == 3 * [2, 2, 2] + [1, 1, 1]  # of the weak views and the small one, each by itself


def test_added_views_and_ops_shift_no_other():
    source, rows = batch(8), torch.arange(8)
    alone = pipeline({"weak_2": MSR["weak_2"]})(source, rows, 2)["weak_2"]
    same(pipeline(MSR)(source, rows, 2)["weak_2"], alone)
    more = RECIPES | {"weak": [*steps("solarize"), *RECIPES["weak"]]}
    added = pipeline({"weak_2": MSR["weak_2"]}, more)(source, rows, 2)["weak_2"]
    for op in ("crop", "flip"):
        assert all(torch.equal(added.params[op][key], alone.params[op][key]) for key in alone.params[op])


def test_views_of_one_recipe_differ_and_their_ops_draw_apart():
    views = pipeline({"a": FULL, "b": FULL})(batch(8), torch.arange(8), 0)
    assert not (views["a"].params["crop"]["box"] == views["b"].params["crop"]["box"]).all(1).any()
    many = pipeline({"a": ViewSpec(("r",))}, {"r": steps("flip", "grayscale", grayscale=grayscale.Config(p=0.5))})
    params = many(batch(2000, 4, 4), torch.arange(2000), 0)["a"].params
    agree = (params["flip"]["flipped"] == params["grayscale"]["gray"]).float().mean()
    assert abs(agree - 0.5) < 0.06


def test_strength_alone_leaves_the_draws_as_they_are():
    strong = {
        "weak": RECIPES["weak"],
        "aggressive": [
            Step(s.name, s.op, s.op.scaled(s.config, 2.0) if hasattr(s.op, "scaled") else s.config)
            for s in RECIPES["aggressive"]
        ],
    }
    source, rows = batch(64), torch.arange(64)
    mild, harsh = (pipeline({"v": FULL}, recipes)(source, rows, 0)["v"].params for recipes in (RECIPES, strong))
    assert torch.equal(mild["crop"]["box"], harsh["crop"]["box"])
    assert torch.equal(mild["color_jitter"]["order"], harsh["color_jitter"]["order"])
    assert torch.allclose(
        2 * (mild["color_jitter"]["brightness"] - 1), harsh["color_jitter"]["brightness"] - 1, atol=1e-5
    )
    assert (mild["grayscale"]["gray"] <= harsh["grayscale"]["gray"]).all()


def test_child_view_starts_from_its_parents_pixels_and_inherits_its_parameters():
    source, rows = batch(8), torch.arange(8)
    views = pipeline(MSR)(source, rows, 0)
    for i in "12":
        weak, aggressive = views[f"weak_{i}"], views[f"aggressive_{i}"]
        assert list(aggressive.params) == ["crop", "flip", "color_jitter", "grayscale", "blur"]
        assert torch.equal(aggressive.params["crop"]["box"], weak.params["crop"]["box"])
        assert torch.equal(aggressive.masks, weak.masks)
        mean, std = (torch.tensor(value)[:, None, None] for value in (MEAN, STD))
        replay = Batch(weak.images * std + mean)  # un-normalised, as the child must have found it
        for step in RECIPES["aggressive"]:
            replay = step.op.apply(replay, aggressive.params[step.name], None)
        assert torch.allclose((replay.images - mean) / std, aggressive.images, atol=1e-4)
    assert list(views["weak_1"].params) == ["crop", "flip"]


def test_children_may_be_named_before_their_parents():
    source, rows = batch(8), torch.arange(8)
    backwards = pipeline(dict(reversed(MSR.items())))(source, rows, 0)
    assert list(backwards) == list(reversed(MSR))
    for name, view in pipeline(MSR)(source, rows, 0).items():
        same(backwards[name], view)


def test_views_of_several_sizes():
    source, rows = batch(8, 48, 40), torch.arange(8)
    views = {
        "large": ViewSpec(("weak",), size=32),
        "small": ViewSpec(("weak",), size=16),
        "child": ViewSpec(("aggressive",), parent="small"),
    }
    made = pipeline(views)(source, rows, 0)
    assert [view.images.shape for view in made.values()] == [(8, 3, side, side) for side in (32, 16, 16)]
    assert [view.masks.shape[-1] for view in made.values()] == [32, 16, 16]


def test_size_without_a_crop_is_refused():
    with pytest.raises(ValueError, match=r"must give its size, got size=16 .* in view 'v': add crop to aggressive"):
        pipeline({"v": ViewSpec(("aggressive",), size=16)})


@pytest.mark.parametrize(
    ("views", "law"),
    [
        ({"v": ViewSpec(("weka",))}, r"'v' must name a known recipe, got 'weka': known are \['aggressive', 'weak'\]"),
        ({"v": ViewSpec(("weak",), parent="u")}, r"'v' must start from a known view, got 'u': known are \['v'\]"),
        (
            {"a": ViewSpec((), parent="b"), "b": ViewSpec((), parent="a")},
            "must not be its own ancestor, got a <- b <- a|b <- a <- b",
        ),
        ({"v": ViewSpec(("weak", "weak"))}, r"must apply an op once, got \['crop', 'flip'\] twice in view 'v'"),
        ({"u": ViewSpec(("weak",)), "v": ViewSpec(("weak",), parent="u")}, r"got \['crop', 'flip'\] twice in view 'v'"),
    ],
)
def test_impossible_views_are_refused(views, law):
    with pytest.raises(ValueError, match=law):
        pipeline(views)


@pytest.mark.gpu
def test_pipeline_on_gpu_agrees_with_cpu():
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    source, rows = batch(64), torch.arange(64)
    ours = pipeline(MSR)(Batch(source.images.cuda(), source.masks.cuda()), rows.cuda(), 0)
    for name, view in pipeline(MSR)(source, rows, 0).items():
        assert (view.images - ours[name].images.cpu()).abs().max() < 1e-3 / min(STD)
        for op, params in view.params.items():
            assert all(
                torch.allclose(value.float(), ours[name].params[op][key].cpu().float(), atol=1e-6)
                for key, value in params.items()
            )
