"""Seconds of the weighted kNN evaluation against scikit-learn's classifier with the same vote, in the same run.

    python -m tests.benchmarks.knn [--bank 10000 50000] [--queries 2000] [--threads 2]

Features of 512 dimensions in 10 classes that overlap, k = 200, T = 0.1. The predictions are compared first: where they
differ, the votes of the two classes, summed in float64, must agree to a relative 1e-4. Reported is the median of 5
rounds, every second one in reverse order; both use the same number of threads. On a machine with a GPU ours is timed
there, with the features on the device, and on the CPU.
"""

import argparse
import logging
import statistics
import time
from collections.abc import Callable

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from orchestrator.core import hardware
from orchestrator.metrics.knn import TEMPERATURE, knn_classes, num_neighbours
from tests.benchmarks.peers import scikit_knn

ROUNDS, NUM_CLASSES, NUM_FEATURES = 5, 10, 512
# Spread of features around class centres with entries of standard deviation 1: about 90 % are classified right.
SPREAD = 7.0
LOG = logging.getLogger(__name__)


def features(count: int, generator: torch.Generator, centres: Tensor) -> tuple[Tensor, Tensor]:
    """Features and labels of a split."""
    labels = torch.randint(NUM_CLASSES, (count,), generator=generator)
    return centres[labels] + SPREAD * torch.randn(count, NUM_FEATURES, generator=generator), labels


def compare(found: dict[str, Tensor], bank: Tensor, labels: Tensor, queries: Tensor, *, k: int) -> None:
    """Raise unless all predict the same classes, except for ties."""
    reference = found.pop("scikit-learn")
    bank = torch.nn.functional.normalize(bank.double(), dim=1)
    for name, predicted in found.items():
        places = torch.nonzero(predicted != reference).flatten()
        cosine = torch.nn.functional.normalize(queries[places].double(), dim=1) @ bank.T
        nearest, neighbour = cosine.topk(k, dim=1)
        votes = torch.zeros(len(places), NUM_CLASSES, dtype=torch.float64)
        votes.scatter_add_(1, labels[neighbour], (nearest / TEMPERATURE).exp())
        pair = torch.stack([predicted[places], reference[places]], dim=1)
        one, other = votes.gather(1, pair).unbind(1)
        torch.testing.assert_close(one, other, rtol=1e-4, atol=0)
        LOG.info(
            "  %-13s differs from scikit-learn on %d of %d predictions, all of them ties",
            name,
            len(places),
            len(queries),
        )


def contestants(
    bank: Tensor, labels: Tensor, queries: Tensor, *, k: int, devices: list[torch.device]
) -> dict[str, Callable[[], Tensor]]:
    """The implementations, each predicting the class of every query."""

    def scikit() -> Tensor:
        arrays = bank.numpy(), labels.numpy(), queries.numpy()
        return torch.from_numpy(scikit_knn.classes(*arrays, neighbours=k, temperature=TEMPERATURE))

    def ours(device: torch.device) -> Callable[[], Tensor]:
        on_device = bank.to(device), labels.to(device), queries.to(device)
        return lambda: knn_classes(*on_device, k=k, temperature=TEMPERATURE).cpu()

    return {"scikit-learn": scikit} | {f"ours, {device.type}": ours(device) for device in devices}


def seconds_of(work: Callable[[], Tensor]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def race(bank_size: int, num_queries: int, devices: list[torch.device]) -> None:
    """Compare, time and log the results for one bank size."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(NUM_CLASSES, NUM_FEATURES, generator=generator)
    bank, labels = features(bank_size, generator, centres)
    queries, truth = features(num_queries, generator, centres)
    k = num_neighbours(bank_size)
    made = contestants(bank, labels, queries, k=k, devices=devices)
    LOG.info("bank %d, %d queries, k = %d:", bank_size, num_queries, k)
    found = {name: work() for name, work in made.items()}  # also the warm-up
    right = 100 * float((found["scikit-learn"] == truth).float().mean())
    compare(found, bank, labels, queries, k=k)
    seconds: dict[str, list[float]] = {name: [] for name in made}
    for number in range(ROUNDS):
        for name in list(made)[:: 1 if number % 2 else -1]:
            seconds[name].append(seconds_of(made[name]))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, median in medians.items():
        ratio = medians["scikit-learn"] / median
        LOG.info("  %-13s %8.3f s, %6.2f x as fast as scikit-learn (%.1f %% right)", name, median, ratio, right)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bank", type=int, nargs="+", default=[10_000, 50_000])
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    devices = list(dict.fromkeys([torch.device("cpu"), hardware.device()]))
    torch.set_num_threads(arguments.threads)
    with threadpool_limits(arguments.threads):
        for size in arguments.bank:
            race(size, arguments.queries, devices)


if __name__ == "__main__":
    main()
