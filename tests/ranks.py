"""Runs a function on several ranks: single-threaded processes of this machine that rendezvous through a file."""

import multiprocessing
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed
from torch.multiprocessing import start_processes

PATIENCE = timedelta(seconds=60)  # for a rank that does not join


def on_ranks(world_size: int, folder: Path, function: Callable[..., Any], *args: Any) -> list[Any]:
    """Run a function on every rank and return the results by rank.

    Args:
        world_size: number of ranks.
        folder: folder for the exchange of files; must not exist.
        function: a module-level function; its result must be loadable with `weights_only=True`.
        args: arguments of the function.
    """
    folder.mkdir()
    # Slow imports happen once, in the fork server from which all ranks are forked.
    multiprocessing.set_forkserver_preload(["torch._dynamo", "orchestrator.training.assembly"])
    start_processes(_run, (world_size, folder, function, args), nprocs=world_size, start_method="forkserver")
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(world_size)]


def _run(rank: int, world_size: int, folder: Path, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    store = distributed.FileStore(str(folder / "store"), world_size)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=world_size, timeout=PATIENCE)
    torch.save(function(*args), folder / f"{rank}.pt")
