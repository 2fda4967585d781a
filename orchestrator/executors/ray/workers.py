"""The workers of a trial: one inside the Tune actor, or several started by Ray Train.

Several workers start after the actor and Ray Train's controller, which do not need torch. So this module does not
import it, and actor and controller never unpickle the trial's work.
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

_GLANCE = 0.1  # seconds between checks whether the workers have ended


def trainable(work: Work, sweep: SweepConfig, shared: Mapping[str, Any], scratch: Path) -> Any:
    """The function that Tune runs for each trial, with the resources that it requests.

    Args:
        work: called in each worker as `work(config, tell, **shared)`.
        sweep: says how many workers, and what each needs.
        shared: put into the object store once, mapped by every worker.
        scratch: an empty folder for what Ray Train writes; it is never read.
    """
    if sweep.workers == 1:
        one = tune.with_parameters(_alone, work=work, share=sweep.gpus_per_worker, shared=dict(shared))
        return tune.with_resources(one, bundle(sweep))
    task = [ray.put({"work": work, "share": sweep.gpus_per_worker, "shared": dict(shared)})]
    several = tune.with_parameters(_together, sweep=sweep, scratch=scratch, task=task)
    # Train reserves what the workers need. Tune requires the actor to request something, and one byte is always free; a
    # CPU of its own would leave too few for the workers on a machine that has just enough.
    return tune.with_resources(several, {"memory": 1})


def bundle(sweep: SweepConfig) -> dict[str, float]:
    """What one worker needs of one node."""
    return {"CPU": float(sweep.cpus_per_worker), "GPU": sweep.gpus_per_worker}


def _alone(config: dict[str, Any], work: Work, share: float, shared: Mapping[str, Any]) -> None:
    from orchestrator.core import hardware

    with hardware.memory_share(share):
        work(config, tune.report, **shared)


def _together(config: dict[str, Any], sweep: SweepConfig, scratch: Path, task: list[ray.ObjectRef]) -> None:
    """Runs in the Tune actor of a trial of several workers, and forwards the first worker's messages to Tune at once.

    Messages come through a queue and not through Ray Train, which collects reports from all workers at intervals, so
    that early stopping receives an epoch without delay. When Tune ends this actor, everything that it owns ends too:
    controller, workers, queue. When a worker dies, Train restarts all of them, and they resume from the newest
    checkpoint.
    """
    # When this actor ends, Train's cleanup actor frees what the workers had reserved. Without RAY_ADDRESS it looks for
    # any Ray on its machine, and gives up if there are several.
    os.environ["RAY_ADDRESS"] = ray.get_runtime_context().gcs_address
    ENV_VARS_TO_PROPAGATE.add("RAY_ADDRESS")
    queue = Queue(actor_options={"num_cpus": 0})
    trainer = DataParallelTrainer(
        partial(_one_of_several, config, queue, task),  # not in `train_loop_config`: the controller would unpickle it
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
    """Drop a message: all workers have the same ones, and the first worker sends them."""


@dataclass
class _TorchWhenNeeded(BackendConfig):
    """Ray Train's process group of torch, imported only once there are workers.

    Args:
        task: of the workers; unpickling it imports torch.
    """

    task: list[ray.ObjectRef]

    @property
    def backend_cls(self) -> type[Backend]:
        """The backend that makes the group."""
        return _GroupWhenNeeded


class _GroupWhenNeeded(Backend):
    share_cuda_visible_devices = True  # as Ray Train has it for torch

    def on_start(self, worker_group: Any, backend_config: BackendConfig) -> None:
        """Create the process group, once there are workers."""
        assert isinstance(backend_config, _TorchWhenNeeded)
        worker_group.execute_async(ray.get, backend_config.task[0])  # they import it while the controller does
        from ray.train.torch import TorchConfig

        torch = TorchConfig()
        torch.backend_cls().on_start(worker_group, torch)

    def on_shutdown(self, worker_group: Any, backend_config: BackendConfig) -> None:
        """Destroy the process group."""
        from ray.train.torch import TorchConfig

        torch = TorchConfig()
        torch.backend_cls().on_shutdown(worker_group, torch)
