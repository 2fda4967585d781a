"""Warnings about settings that use this machine badly."""

import os

from orchestrator.core import hardware
from orchestrator.study.study_file import Study


def machine_advice(study: Study) -> list[str]:
    """Warnings about an idle GPU, and about more threads than cores, one sentence each."""
    return [*_idle_gpu(study), *_crowd(study)]


def _idle_gpu(study: Study) -> list[str]:
    if hardware.device().type == "cpu" or study.sweep.gpus_per_worker:
        return []
    return ["this machine has a GPU and trials do not use it; --set sweep.gpus_per_worker=1 gives each trial one"]


def _crowd(study: Study) -> list[str]:
    """Warn if threads outnumber cores: executors count `cpus_per_worker`, and torch computes with `threads`."""
    sweep, threads, cores = study.sweep, study.run.training.threads, os.cpu_count() or 1
    trials = min(sweep.concurrency, sweep.trials, cores // (sweep.workers * sweep.cpus_per_worker))
    if trials * sweep.workers * threads <= cores:
        return []
    fitting = f"sweep.cpus_per_worker={threads}" if sweep.workers * threads <= cores else "run.training.threads=1"
    return [
        f"{trials * sweep.workers} workers with run.training.threads = {threads} each take turns on {cores} cores; "
        f"--set {fitting} gives each thread its own"
    ]
