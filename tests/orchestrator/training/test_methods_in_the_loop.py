"""Every method trains under the real loop, with what it keeps outside its weights, and goes on bitwise from a kill."""

import io
from itertools import pairwise

import pytest
import torch

from tests.orchestrator.tiny_run import RUN, Surroundings, timeless, tiny_run
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
    if name == "swav":
        assert prototypes_moved(whole) == [False] * 3 + [True] * 4


def prototypes_moved(done: Surroundings) -> list[bool]:
    """Whether they did, from each checkpoint to the next."""
    states = [torch.load(io.BytesIO(raw), weights_only=True) for _, raw in sorted(done.states.items())]
    weights = [state["objective"]["method.prototypes.weight"] for state in states]
    # Coming back to the sphere turns last bits.
    return [not torch.allclose(one, other, atol=1e-6) for one, other in pairwise(weights)]
