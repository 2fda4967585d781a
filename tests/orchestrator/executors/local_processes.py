"""An executor of local processes: one process for each trial, and no Ray. It runs whole sweeps in tests.

Also the smallest example of an executor: this is all that a second one, on Slurm or on anything else, needs.
"""

import multiprocessing
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from multiprocessing.connection import Connection, wait
from typing import Any

from augment.config import Config as BaseConfig
from orchestrator.config.sweep import SweepConfig
from orchestrator.executors.contract import Work
from orchestrator.search.ledger import Ledger
from orchestrator.storage.place import Place


class Config(BaseConfig):
    name: str = __name__


def build(config: Config, sweep: SweepConfig, address: str | None) -> "LocalProcesses":
    return LocalProcesses()


class LocalProcesses:
    on_this_machine, starting = True, "starting processes"

    def check(self) -> None:
        pass

    def ready(self, folder: Place, *, data_bytes: int) -> AbstractContextManager[None]:
        return nullcontext()

    def run(self, ledger: Ledger, work: Work, *, shared: Mapping[str, Any], is_over: Callable[[], bool]) -> None:
        forks, crashes, again = multiprocessing.get_context("forkserver"), Counter[int](), list[int]()
        forks.set_forkserver_preload(["orchestrator.training.trial"])
        running: dict[Connection, tuple[int, Any]] = {}
        while not is_over():
            while len(running) < ledger.sweep.concurrency:
                number = again.pop() if again else ledger.next()
                if number is None:
                    break
                ours, theirs = forks.Pipe()
                trial = {"folder": str(ledger.folder.trial(number).path)}
                process = forks.Process(target=_train, args=(theirs, work, trial, dict(shared)), daemon=True)
                process.start()
                theirs.close()  # so that ours is at its end when the process is
                ledger.started(number)
                running[ours] = number, process
            if not running:
                break
            for ours in wait(list(running), timeout=0.2):
                number, process = running[ours]
                try:
                    ours.send(ledger.hear(number, ours.recv()))
                except (EOFError, OSError):
                    del running[ours]
                    process.join()
                    crashes[number] += process.exitcode != 0
                    if process.exitcode == 0:
                        ledger.ended(number)
                    elif crashes[number] > ledger.sweep.max_failures:
                        ledger.failed(number, "its process died")
                    else:
                        ledger.crashed(number, "its process died")
                        again.append(number)
        for _, process in running.values():
            process.kill()
        assert "ray" not in sys.modules


def _train(driver: Connection, work: Work, trial: dict[str, str], shared: dict[str, Any]) -> None:
    def tell(message: dict[str, Any]) -> None:
        driver.send(message)
        if driver.recv():
            raise SystemExit(0)  # stopped early

    work(trial, tell, **shared)
    assert "ray" not in sys.modules
