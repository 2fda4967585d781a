"""The protocol of an executor: what a sweep needs to run its trials.

An executor is a module `orchestrator/executors/<name>.py`, or one of the user's own named with its dots. It defines

- `Config`, with its `name`: the section `sweep.executor`;
- `build(config, sweep, address)`: an `Executor`; `address` is the option `--address` or None;
- if it needs time to get ready, `prepared(address)`: a context manager that the command enters first.

No trial needs to be paused or moved: one that ends before its last epoch is handed out again, and resumes from the
checkpoint in its folder.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from orchestrator.storage.place import Place

if TYPE_CHECKING:  # a file that names an executor is read without Optuna
    from orchestrator.search.ledger import Ledger

# A trial's work, called as `work({"folder": text}, tell, **shared)` in each of its workers.
Work = Callable[..., None]


@runtime_checkable
class Executor(Protocol):
    """Runs the trials of one sweep."""

    @property
    def on_this_machine(self) -> bool:
        """Whether trials compete for the cores of this machine, and for its GPU."""
        ...

    @property
    def starting(self) -> str:
        """Shown to the user while it starts."""
        ...

    def check(self) -> None:
        """Check within seconds whether it can be reached; called before the data are decoded.

        Raises:
            UserError: it cannot.
        """
        ...

    def ready(self, folder: Place, *, data_bytes: int) -> AbstractContextManager[None]:
        """A context manager in which it can run trials.

        Args:
            folder: of the sweep, which every worker must see.
            data_bytes: bytes that `run` shares with the workers.

        Raises:
            UserError: a worker of the sweep would never start.
        """
        ...

    def run(self, ledger: "Ledger", work: Work, *, shared: Mapping[str, Any], is_over: Callable[[], bool]) -> None:
        """Run the trials that the ledger hands out until none is left, or until it is over.

        Call the ledger from one thread, this one or another:

        - `next()`: the number of a trial to start, None if there is none now; `is_handed_out`: there will be none.
        - `started(number)`: a worker has taken the trial, whose folder is `ledger.folder.trial(number).path`.
        - `hear(number, message)`: the first worker has called `tell(message)`; True if the trial must stop now.
        - `ended(number)`: its workers have returned, or were stopped.
        - `crashed(number, reason)`: a worker died, and the trial is started again, `sweep.max_failures` times at most;
          `failed(number, reason)`: it is not.

        Args:
            ledger: of the sweep, whose `sweep` says how many trials run at a time and what their workers need.
            work: trains a trial.
            shared: arguments of every trial, which may be large.
            is_over: call it at least every second; once it returns True, stop all trials, finished or not.
        """
        ...
