"""How a trial is given its workers: one inside the Tune actor, or several by Ray Train beside it.

Beside several workers are the actor and Ray Train's controller, which start one after the other before them and need no
torch: so this module imports none, and they never open the trial's work.
"""

import os
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray import train, tune
from ray.train.backend import Backend, BackendConfig
from ray.train.v2._internal.constants import ENV_VARS_TO_PROPAGATE
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer
from ray.util.queue import Empty, Queue

from orchestrator.config.sweep import SweepConfig
from orchestrator.executors.contract import Work
from orchestrator.search.formatting import last_error
from orchestrator.training.messages import Tell, give_up

_GLANCE = 0.1  # seconds between looks whether the workers have ended


def trainable(work: Work, sweep: SweepConfig, shared: Mapping[str, Any], scratch: Path) -> Any:
    """What Tune runs for each trial, with the resources that it asks for.

    Args:
        work: called in each worker as `work(config, tell, **shared)`.
        sweep: says how many workers, and what each needs.
        shared: put into the object store once, mapped by every worker.
        scratch: an empty folder for whatever Ray Train wants to write; it is never read.
    """
    if sweep.workers == 1:
        one = tune.with_parameters(_alone, work=work, share=sweep.gpus_per_worker, shared=dict(shared))
        return tune.with_resources(one, bundle(sweep))
    task = [ray.put({"work": work, "share": sweep.gpus_per_worker, "shared": dict(shared)})]
    several = tune.with_parameters(_together, sweep=sweep, scratch=scratch, task=task)
    # Train reserves what the workers need. Tune wants the actor to ask for something, and a byte is always there; a CPU
    # of its own would leave too few for the workers on a machine that has just enough.
    return tune.with_resources(several, {"memory": 1})


def bundle(sweep: SweepConfig) -> dict[str, float]:
    """What one worker needs of one node."""
    return {"CPU": float(sweep.cpus_per_worker), "GPU": sweep.gpus_per_worker}


def _alone(config: dict[str, Any], work: Work, share: float, shared: Mapping[str, Any]) -> None:
    from orchestrator.core import hardware

    with hardware.memory_share(share):
        work(config, tune.report, **shared)


def _together(config: dict[str, Any], sweep: SweepConfig, scratch: Path, task: list[ray.ObjectRef]) -> None:
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
    trainer = DataParallelTrainer(
        partial(_one_of_several, config, queue, task),  # not by `train_loop_config`, which the controller would open
        backend_config=_TorchWhenNeeded(task),
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


def _one_of_several(config: dict[str, Any], queue: Queue, task: list[ray.ObjectRef]) -> None:
    from ray.train.torch import TorchConfig

    from orchestrator.core import hardware

    first = train.get_context().get_world_rank() == 0
    tell: Tell = queue.put if first else _ignore
    mine = ray.get(task[0])
    with TorchConfig().train_func_context(), hardware.memory_share(mine["share"]):
        mine["work"](config, tell, **mine["shared"])


def _ignore(message: dict[str, Any]) -> None:
    """All workers have the same messages, and the first one sends them."""


@dataclass
class _TorchWhenNeeded(BackendConfig):
    """Ray Train's own process group of torch, which otherwise is imported before there is a worker.

    Args:
        task: of the workers, for which they need torch sooner or later.
    """

    task: list[ray.ObjectRef]

    @property
    def backend_cls(self) -> type[Backend]:
        """Who makes it."""
        return _GroupWhenNeeded


class _GroupWhenNeeded(Backend):
    share_cuda_visible_devices = True  # as Ray Train has it for torch

    def on_start(self, worker_group: Any, backend_config: BackendConfig) -> None:
        """Makes the group, once there are workers."""
        assert isinstance(backend_config, _TorchWhenNeeded)
        worker_group.execute_async(ray.get, backend_config.task[0])  # they import it while the controller does
        from ray.train.torch import TorchConfig

        torch = TorchConfig()
        torch.backend_cls().on_start(worker_group, torch)

    def on_shutdown(self, worker_group: Any, backend_config: BackendConfig) -> None:
        """Takes it apart."""
        from ray.train.torch import TorchConfig

        torch = TorchConfig()
        torch.backend_cls().on_shutdown(worker_group, torch)
