"""Foregrounds are computed again only where other settings would change them."""

import numpy as np
import pytest
import torch

from orchestrator.config.run import RunConfig
from orchestrator.training import assembly
from orchestrator.training.parts import Data
from tests.orchestrator.tiny_run import tiny_run


def run_of(seed: int = 0, kind: str = "random", **settings: object) -> RunConfig:
    background = {"kind": kind, "p_negative": 0.0, "separation": settings}
    return tiny_run(seed=seed, addons={"background": background})


def data_of(run: RunConfig) -> Data:
    return assembly.load_data(run)


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ({}, {"seed": 1}, True),
        ({}, {"kind": "remove"}, True),
        ({"kind": "remove"}, {}, False),
        ({}, {"holes": "diffuse"}, False),
        ({}, {"area": [0.02, 0.9]}, False),
        ({"noise": "shift"}, {"noise": "shift"}, True),
        ({"noise": "shift"}, {"noise": "shift", "seed": 1}, False),
    ],
)
def test_foregrounds_are_computed_again_only_for_other_settings(one: dict, other: dict, shared: bool) -> None:
    data = data_of(run_of(**one))
    again = assembly.with_foregrounds(run_of(**other), data)
    assert (again.foregrounds is data.foregrounds) == shared
    fresh = data_of(run_of(**other)).foregrounds
    assert fresh is not None
    assert again.foregrounds is not None
    np.testing.assert_array_equal(again.foregrounds.masks, fresh.masks)
    if fresh.backgrounds is not None:
        np.testing.assert_array_equal(again.foregrounds.backgrounds, fresh.backgrounds)


def test_views_without_backgrounds_need_nothing_made() -> None:
    data = data_of(tiny_run())
    assert data.foregrounds is None
    assert assembly.with_foregrounds(tiny_run(), data) is data


def test_what_was_made_is_counted_and_used_where_it_lies() -> None:
    run = run_of()
    data = data_of(run)
    made = data.foregrounds
    assert made is not None
    assert made.backgrounds is not None
    train = data.splits["train"]
    assert made.nbytes == train.images.nbytes + train.images.nbytes // 3
    assert data.nbytes == data_of(tiny_run()).nbytes + made.nbytes
    images = assembly.images(run, data, assembly.objective(run).plan, torch.device("cpu"))
    bank = images.batch(torch.arange(4)).bank
    assert bank is not None
    assert bank.backgrounds.data_ptr() == made.backgrounds.ctypes.data
    assert bank.masks.data_ptr() == made.masks.ctypes.data
