"""The contract of every module in `orchestrator/metrics/`; new modules are tested automatically."""

import math
import types

import numpy as np
import pytest

from augment.config import Config
from orchestrator.core.registry import find, names
from orchestrator.data.images import ImageSet
from orchestrator.datasets import synthetic
from orchestrator.metrics import DEFAULT_SPLITS, Timing, knn
from orchestrator.probing.features import pixel_features

PACKAGE = "orchestrator.metrics"
DATA = synthetic.Config(size=8, train_size=100, validation_size=60)


def check_evaluation(module: types.ModuleType) -> None:
    """Asserts all properties that the training loop, the search space and the tables rely on."""
    assert issubclass(module.Config, Timing), "Config must extend Timing"
    config = module.Config()  # every field has a default, so `knn: {}` is enough
    assert module.evaluate.__doc__
    assert module.__doc__

    split_names = getattr(module, "SPLITS", DEFAULT_SPLITS)
    assert not [split for split in split_names if split.startswith("test")], "only `evaluate` may use test data"
    # No data set has both shape labels and background variants, so other splits replace the variants.
    splits = {split: synthetic.load(DATA, split.partition("/")[0]) for split in split_names}
    before = {name: split.images.copy() for name, split in splits.items()}
    encode = pixel_features((0.5,) * 3, (0.25,) * 3)
    metrics = module.evaluate(encode, splits, config)
    assert tuple(metrics) == tuple(module.METRICS), "METRICS must name the results of evaluate in order"
    assert all(isinstance(value, float) and math.isfinite(value) for value in metrics.values())
    assert module.evaluate(encode, splits, config) == metrics, "evaluate must be deterministic"
    assert all(np.array_equal(splits[name].images, images) for name, images in before.items())
    bare = {name: ImageSet(split.images) for name, split in splits.items()}
    if getattr(module, "NEEDS_LABELS", False):
        with pytest.raises(ValueError, match="needs labels"):
            module.evaluate(encode, bare, config)
    else:
        assert module.evaluate(encode, bare, config) == metrics, "NEEDS_LABELS must be set if labels matter"
    for name in metrics:
        if name.endswith("_se"):
            score = metrics[name.removesuffix("_se")]
            assert -100 <= score <= 100
            assert 0 <= metrics[name] <= 50 * 2**0.5, (
                "the standard error must be that of a share or of a difference of two"
            )
    if hasattr(module, "PROTOCOL"):
        assert module.PROTOCOL in metrics
        assert f"{module.PROTOCOL}_se" in metrics
        assert module.PROTOCOL.split("/")[1].isdigit(), "a protocol's name ends in its version"


def test_all_evaluations_are_found():
    assert set(names(PACKAGE)) >= {"background_gap", "collapse", "knn", "linear", "view_retrieval"}


def test_metric_names_are_unique():
    metrics = [metric for name in names(PACKAGE) for metric in find(PACKAGE, name).METRICS]
    assert len(metrics) == len(set(metrics))


@pytest.mark.parametrize("name", names(PACKAGE))
def test_evaluation_keeps_the_contract(name):
    check_evaluation(find(PACKAGE, name))


@pytest.mark.parametrize(
    "broken",
    [
        {"Config": type("Config", (Config,), {})},
        {"METRICS": ("val_knn/1",)},
        {"METRICS": ("val_knn/1_se", "val_knn/1")},
        {"PROTOCOL": "val_knn/one"},
        {"NEEDS_LABELS": False},
        {"SPLITS": ("bank", "test/original")},
        {"evaluate": lambda encode, splits, config: {"val_knn/1": 10, "val_knn/1_se": math.nan}},
    ],
)
def test_malformed_evaluation_is_rejected(broken):
    module = types.ModuleType("malformed", "A copy of a valid module with one defect.")
    vars(module).update({**vars(knn), **broken, "__name__": "malformed"})
    if "evaluate" in broken:
        module.evaluate.__doc__ = "Numbers of the wrong kind."
    with pytest.raises((AssertionError, ValueError)):
        check_evaluation(module)


@pytest.mark.parametrize(("every", "due"), [(None, [4]), (1, [1, 2, 3, 4]), (2, [2, 4]), (3, [3, 4]), (9, [4])])
def test_timing_is_every_nth_epoch_and_always_the_last(every, due):
    assert [epoch for epoch in range(1, 5) if Timing(every=every).due(epoch, 4)] == due
