"""A function run by several ranks at once: processes of this machine, of one thread each, which meet in a file."""

import multiprocessing
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed
from torch.multiprocessing import start_processes

PATIENCE = timedelta(seconds=60)  # with a rank that does not come


def on_ranks(world_size: int, folder: Path, function: Callable[..., Any], *args: Any) -> list[Any]:
    """What a function returns on every rank.

    Args:
        world_size: how many there are.
        folder: for what they exchange, new for each call.
        function: found by its name in a module; returns what torch loads safely.
        args: for it.
    """
    folder.mkdir()
    # What takes long to import is imported once, by the process that all ranks are forked from.
    multiprocessing.set_forkserver_preload(["torch._dynamo", "orchestrator.training.assembly"])
    start_processes(_run, (world_size, folder, function, args), nprocs=world_size, start_method="forkserver")
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(world_size)]


def _run(rank: int, world_size: int, folder: Path, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    store = distributed.FileStore(str(folder / "store"), world_size)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=world_size, timeout=PATIENCE)
    torch.save(function(*args), folder / f"{rank}.pt")
