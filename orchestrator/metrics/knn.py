"""Weighted k-nearest-neighbour accuracy of frozen features: without fitting, cheap enough for every epoch."""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from orchestrator.data.images import ImageSet
from orchestrator.metrics import Every, Timing
from orchestrator.probing.features import Encode, labels_of, standard_error, unit

PROTOCOL = "val_knn/1"
METRICS = (PROTOCOL, f"{PROTOCOL}_se")
NEEDS_LABELS = True

# Constants of the protocol: changing one requires a new version.
TEMPERATURE = 0.1
MOST_NEIGHBOURS = 200
BANK_PER_NEIGHBOUR = 50

CHUNK = 1024  # queries compared with the whole bank at once


class Config(Timing):
    """When it is measured; by default after every epoch."""

    every: Every = 1


def evaluate(encode: Encode, splits: Mapping[str, ImageSet], config: Config) -> dict[str, float]:
    """Accuracy on `validation` with `bank` as neighbours, in percent, and its standard error.

    Raises:
        ValueError: if a split has no labels.
    """
    bank, queries = splits["bank"], splits["validation"]
    accuracy = knn_accuracy(
        encode(bank.images),
        labels_of(bank),
        encode(queries.images),
        labels_of(queries),
        k=num_neighbours(len(bank)),
        temperature=TEMPERATURE,
    )
    return {PROTOCOL: 100 * accuracy, f"{PROTOCOL}_se": standard_error(accuracy, len(queries))}


def num_neighbours(bank_size: int) -> int:
    """The protocol's k: a fiftieth of the bank, at least 1, at most 200."""
    return max(1, min(MOST_NEIGHBOURS, bank_size // BANK_PER_NEIGHBOUR))


def knn_accuracy(
    bank: Float[Tensor, "N D"],
    bank_labels: Int64[Tensor, "N"],
    queries: Float[Tensor, "Q D"],
    query_labels: Int64[Tensor, "Q"],
    *,
    k: int,
    temperature: float,
) -> float:
    """Share of queries classified correctly by their neighbours' weighted vote, in [0, 1]; see `knn_classes`."""
    right = knn_classes(bank, bank_labels, queries, k=k, temperature=temperature) == query_labels.to(queries.device)
    return int(right.sum()) / len(queries)


def knn_classes(
    bank: Float[Tensor, "N D"],
    bank_labels: Int64[Tensor, "N"],
    queries: Float[Tensor, "Q D"],
    *,
    k: int,
    temperature: float,
) -> Int64[Tensor, "Q"]:
    """The class that each query's neighbours vote for; the lowest class wins ties.

    Args:
        bank: features of any norm, on the device that computes.
        bank_labels: classes from 0, on any device.
        queries: features of any norm, on the bank's device.
        k: neighbours that vote, 1 to N.
        temperature: a neighbour at cosine c votes with weight exp(c / temperature), > 0.

    Source: arXiv 1805.01978, section 3.4 (k = 200 and temperature 0.07; self-supervised code bases use 0.1).
    """
    bank, bank_labels, num_classes = unit(bank), bank_labels.to(bank.device), int(bank_labels.max()) + 1
    chosen = []
    for chunk in unit(queries).split(CHUNK):
        cosine, neighbour = (chunk @ bank.T).topk(k, dim=1)  # (q, k)
        votes = cosine.new_zeros(len(chunk), num_classes)
        votes.scatter_add_(1, bank_labels[neighbour], (cosine / temperature).exp())
        chosen.append(votes.argmax(dim=1))
    return torch.cat(chosen)
