"""An executor whose trials are over at once, with invented numbers, and which ends as a test says."""

import os
import signal
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

from augment.config import Config as BaseConfig
from orchestrator.config.sweep import SweepConfig
from orchestrator.executors.contract import Work
from orchestrator.search.ledger import Ledger
from orchestrator.storage.place import Place


class Config(BaseConfig):
    name: str = __name__
    trials: int = 1000  # that it runs at most
    then: Literal["return", "receive SIGTERM", "fill the disk"] = "return"
    diverges: bool = False


def build(config: Config, sweep: SweepConfig, address: str | None) -> "Invented":
    return Invented(config)


class Invented:
    on_this_machine, starting = True, "inventing numbers"

    def __init__(self, config: Config) -> None:
        self._config = config

    def check(self) -> None:
        pass

    def ready(self, folder: Place, *, data_bytes: int) -> AbstractContextManager[None]:
        return nullcontext()

    def run(self, ledger: Ledger, work: Work, *, shared: Mapping[str, Any], is_over: Callable[[], bool]) -> None:
        for _ in range(self._config.trials):
            number = ledger.next()
            if number is None:
                break
            ledger.started(number)
            if self._config.diverges:
                ledger.failed(number, "diverged")
            else:
                ledger.report(number, {"epoch": 2, "finished": 1, "val_knn/1": 40.0 + number})
                ledger.ended(number)
        if self._config.then == "receive SIGTERM":
            os.kill(os.getpid(), signal.SIGTERM)
        if self._config.then == "fill the disk":
            ledger.close_without_storage("no space")
        is_over()
