"""Cost of a search whose trials do nothing but report: `python -m tests.benchmarks.stub_sweeps [--trials 12]`.

Plain Optuna, Tune with its stock callbacks, and our ledger and executor through Ray (without MLflow, which has its own
thread and benchmark, `long_sweep mlflow`), each in its own process; trials of 20 reports with the same early stopping.
Measured from the end of the first trial to the end of the last, which excludes start-up.
"""

import argparse
import multiprocessing
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from orchestrator.search.formatting import columns
from orchestrator.search.schedulers import asha
from tests.benchmarks.long_sweep import EPOCHS
from tests.benchmarks.peers.task import Task, search_with
from tests.benchmarks.stub_trial import Stub

METRIC = "val_knn/1"
SPACE = {"augment.strength": (0.2, 1.5), "optimizer.lr": (0.02, 0.5)}
FIRST = {name: high for name, (_, high) in SPACE.items()}
STARTUP = 4


@dataclass(frozen=True)
class Rate:
    """Counts and seconds between the end of the first trial and the end of the last."""

    trials: int
    reports: int
    seconds: float


def peer(name: str, trials: int, at_a_time: int) -> Rate:
    """Measure a peer."""
    with tempfile.TemporaryDirectory(prefix="stubs-") as scratch:
        stub = Stub(Path(scratch) / "log")
        task = Task(
            objective=stub,
            space=SPACE,
            first=FIRST,
            metric=METRIC,
            trials=trials,
            at_a_time=at_a_time,
            epochs=EPOCHS,
            grace=asha.rungs(asha.Config(), EPOCHS)[0],
            startup=STARTUP,
            folder=Path(scratch),
        )
        search_with(name, task)
        moments = stub.moments().values()
    assert len(moments) == trials
    ends = sorted(own[-1] for own in moments)
    later = sum(moment > ends[0] for own in moments for moment in own)
    return Rate(trials - 1, later, ends[-1] - ends[0])


def ours(name: str, trials: int, at_a_time: int) -> Rate:
    """Measure our executor."""
    from tests.benchmarks.many_actors import marks_of, own_ray

    with own_ray():
        _, one, two = marks_of(trials, at_a_time, sampler="tpe", at=(1, trials))
    return Rate(two.trials - one.trials, two.reports - one.reports, two.clock - one.clock)


def main() -> None:
    """Searches with each contestant, with one and with two trials at a time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=12, help="number of trials per search, even")
    trials = parser.parse_args().trials
    rows = [["at a time", "", "seconds/trial", "ms/report", "reports", "ratio"]]
    for at_a_time in (1, 2):
        base = 0.0
        for name, search in (("plain Optuna", peer), ("stock Tune", peer), ("ours", ours)):
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                rate = pool.submit(search, name, trials, at_a_time).result()
            cost = rate.seconds / rate.reports
            base = base or cost
            figures = [f"{rate.seconds / rate.trials:.3f}", f"{1000 * cost:.1f}", str(rate.reports)]
            rows.append([str(at_a_time), name, *figures, f"{cost / base:.2f}"])
    sys.stdout.write(f"{columns(rows)}\n")


if __name__ == "__main__":
    main()
