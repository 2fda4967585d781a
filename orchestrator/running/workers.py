"""How a trial is given its workers: one inside the Tune actor, or several by Ray Train beside it."""

import os
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ray
from ray import train, tune
from ray.train.v2._internal.constants import ENV_VARS_TO_PROPAGATE
from ray.util.queue import Empty, Queue

from orchestrator.running.trial import Tell, give_up
from orchestrator.running.wording import last_error
from orchestrator.spec.sweep_config import SweepConfig
from orchestrator.training import hardware

# A trial's work: its config, the way to tell the driver something, and what all trials share.
Work = Callable[..., None]

_GLANCE = 0.1  # seconds between looks whether the workers have ended


def trainable(work: Work, sweep: SweepConfig, shared: Mapping[str, Any], scratch: Path) -> Any:
    """What Tune runs for each trial, with the resources that it asks for.

    Args:
        work: called in each worker as `work(config, tell, **shared)`.
        sweep: says how many workers, and what each needs.
        shared: put into the object store once, mapped by every worker.
        scratch: an empty folder for whatever Ray Train wants to write; nobody reads it.
    """
    if sweep.workers == 1:
        one = tune.with_parameters(_alone, work=work, share=sweep.gpus_per_worker, shared=dict(shared))
        return tune.with_resources(one, bundle(sweep))
    several = tune.with_parameters(_together, work=work, sweep=sweep, scratch=scratch, shared=[ray.put(dict(shared))])
    # Train reserves what the workers need. Tune wants the actor to ask for something, and a byte is always there; a CPU
    # of its own would leave too few for the workers on a machine that has just enough.
    return tune.with_resources(several, {"memory": 1})


def bundle(sweep: SweepConfig) -> dict[str, float]:
    """What one worker needs of one node."""
    return {"CPU": float(sweep.cpus_per_worker), "GPU": sweep.gpus_per_worker}


def _alone(config: dict[str, Any], work: Work, share: float, shared: Mapping[str, Any]) -> None:
    with hardware.memory_share(share):
        work(config, tune.report, **shared)


def _together(
    config: dict[str, Any], work: Work, sweep: SweepConfig, scratch: Path, shared: list[ray.ObjectRef]
) -> None:
    """Stands between the workers of one trial and Tune: what the first worker tells goes on as it comes.

    Workers tell it through a queue and not through Ray Train, which collects reports from all of them and only at
    intervals; so early stopping hears of an epoch at once. When Tune ends this actor, everything that it owns ends too:
    controller, workers, queue. When a worker dies, Train starts all of them again, and they go on from the newest
    checkpoint.
    """
    # When this actor is ended, a cleaner of Train's frees what the workers had reserved. Without the address of its Ray
    # it looks for any on its machine, and gives up where there are several.
    os.environ["RAY_ADDRESS"] = ray.get_runtime_context().gcs_address
    ENV_VARS_TO_PROPAGATE.add("RAY_ADDRESS")
    queue = Queue(actor_options={"num_cpus": 0})
    from ray.train.torch import TorchTrainer  # its import takes seconds, and a sweep of one-worker trials needs none

    trainer = TorchTrainer(
        _one_of_several,
        train_loop_config={
            "config": config,
            "work": work,
            "queue": queue,
            "share": sweep.gpus_per_worker,
            "shared": shared,
        },
        scaling_config=train.ScalingConfig(
            num_workers=sweep.workers, use_gpu=sweep.gpus_per_worker > 0, resources_per_worker=bundle(sweep)
        ),
        run_config=train.RunConfig(
            name=uuid.uuid4().hex,
            storage_path=str(scratch),
            failure_config=train.FailureConfig(max_failures=sweep.max_failures),
        ),
    )
    with ThreadPoolExecutor(1) as pool:
        training = pool.submit(trainer.fit)
        while not training.done() or not queue.empty():
            try:
                tune.report(queue.get(timeout=_GLANCE))
            except Empty:
                continue
        error = training.exception()
    if error is not None:
        give_up(tune.report, last_error(str(error)))


def _one_of_several(settings: dict[str, Any]) -> None:
    first = train.get_context().get_world_rank() == 0
    tell: Tell = settings["queue"].put if first else _tell_nobody
    shared: dict[str, Any] = ray.get(settings["shared"][0])
    with hardware.memory_share(settings["share"]):
        settings["work"](settings["config"], tell, **shared)


def _tell_nobody(told: dict[str, Any]) -> None:
    """All workers know the same, and one of them tells it."""
