"""Every method trains under the real loop, with what it keeps outside its weights, and goes on bitwise from a kill."""

import io
from itertools import pairwise

import pytest
import torch

from tests.orchestrator.tiny_run import RUN, timeless, tiny_run
from tests.orchestrator.training.test_loop import assert_equal_states, trained

RECIPES = {**RUN["augment"]["recipes"], "small": {"crop": {"scale": [0.1, 0.3]}}}
HEADS = {"projector_hidden": 16, "projector_outputs": 8}
SWAV = {
    **{"name": "swav", "num_prototypes": 6, "freeze": 0.5, "queue_size": 24, "queue_start": 0.25},
    **{"small_views": 2, "small_size": 8, **HEADS},
}
METHODS = {
    "moco_v2": ({"name": "moco_v2", "queue_size": 40, "symmetric": True, "momentum": 0.9, **HEADS}, {"msr": {}}),
    "simsiam": ({"name": "simsiam", "outputs": 16, "bottleneck": 8}, {"msr": {}}),
    "supervised": ({"name": "supervised", "num_classes": 4}, {}),
    "swav": (SWAV, {}),
}


@pytest.mark.parametrize("name", METHODS)
def test_method_trains_and_resumes_bitwise(name):
    """From the third of eight steps: in mid-epoch, after the queue has begun, while prototypes are frozen."""
    method, addons = METHODS[name]
    run = tiny_run(
        method=method,
        addons=addons,
        augment={"recipes": RECIPES},
        training={"checkpoint_steps": 1},
        evaluation={"collapse": {}},
    )
    whole = trained(run)
    resumed = trained(run, saved=whole.states[3])
    assert timeless(resumed.reports) == timeless(whole.reports)
    assert_equal_states(resumed.states[8], whole.states[8])
    assert whole.reports[-1]["feature_std"] > 0.05


def test_loop_holds_the_prototypes_for_their_share_of_the_budget():
    run = tiny_run(
        method=SWAV,
        addons={},
        augment={"recipes": RECIPES},
        training={"checkpoint_steps": 1},
        evaluation={"collapse": {}},
    )
    states = [
        torch.load(io.BytesIO(raw), weights_only=True)["objective"]["method.prototypes.weight"]
        for _, raw in sorted(trained(run).states.items())
    ]
    moved = [not torch.allclose(one, other, atol=1e-6) for one, other in pairwise(states)]
    assert moved == [False] * 3 + [True] * 4
