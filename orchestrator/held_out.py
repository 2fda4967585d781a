"""A frozen encoder on held-out data: the protocols of `orchestrator.evaluate`.

`test_knn/1` votes and `linear_test/1` is fitted on `bank`, where the background says nothing of the class: they ask
what the features know. `linear_test_biased/1` is fitted on `train` as it is: what a user would get. All of them are
`val_knn/1` and `linear_val/1` asked about each `test/<variant>`.
"""

import hashlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from orchestrator.components import find
from orchestrator.evaluations import knn, linear
from orchestrator.features import encoder_features, labels_of, standard_error
from orchestrator.images import DatasetCard
from orchestrator.spec.config import RunConfig
from orchestrator.training import hardware

KNN = "test_knn/1"
LINEAR = "linear_test/1"
LINEAR_BIASED = "linear_test_biased/1"
# How much accuracy comes from a background that fits the class: Xiao et al., arXiv 2006.09994, section 3.
GAP, _GAP_PARTS = "bg_gap", ("mixed_same", "mixed_rand")


@dataclass(frozen=True)
class Features:
    """One split seen by one encoder."""

    values: Float[Tensor, "N D"]
    labels: Int64[Tensor, "N"]


@dataclass(frozen=True)
class Score:
    """An accuracy, or a difference of two, and its standard error, both in percentage points."""

    value: float
    error: float


class FeatureStore:
    """The features of each split, extracted once: on disk by encoder, data and split.

    Args:
        folder: where they are kept.
        encoder: frozen.
        run: names the data set and the number of threads.
        card: of the data.
    """

    def __init__(self, folder: Path, encoder: nn.Module, *, run: RunConfig, card: DatasetCard) -> None:
        self._folder, self._run, self._card = folder, run, card
        self._device = hardware.device()
        self._encoder = encoder.to(self._device)
        self._key = f"{fingerprint(encoder)[:16]}-{card.fingerprint}"

    def split(self, name: str) -> Features:
        """The features of a split.

        Raises:
            UserError: if a data file is damaged.
            ValueError: if the split has no labels.
        """
        file = self._folder / f"{self._key}-{name.replace('/', '-')}.safetensors"
        return _read_features(file) or self._extract(name, file)

    @property
    def has_biased_labels(self) -> bool:
        """Whether `train` has labels, and other images than `bank`."""
        return self._card.labelled("train") and not self._card.bank_is_train

    def arithmetic(self) -> AbstractContextManager[None]:
        """Repeatable arithmetic with the run's threads, as in its own evaluations."""
        return hardware.arithmetic(self._run.training.threads, self._device)

    def _extract(self, name: str, file: Path) -> Features:
        images = find("orchestrator.datasets", self._run.dataset.name).load(self._run.dataset, name)
        labels = labels_of(images)
        with self.arithmetic():
            encode = encoder_features(self._encoder, self._card.mean, self._card.std)
            values = encode(images.images)
        file.parent.mkdir(parents=True, exist_ok=True)
        half_done = file.with_name(f"{file.name}.tmp")
        save_file({"values": values.contiguous(), "labels": labels.clone()}, half_done)
        half_done.replace(file)
        return Features(values, labels)


def score(store: FeatureStore, variants: tuple[str, ...]) -> dict[str, dict[str, Score]]:
    """The scores of every protocol on every test variant, and the background gap where both its parts are there.

    Args:
        store: of the encoder.
        variants: of the test split.

    Returns:
        By protocol, then by variant.

    Raises:
        ValueError: if a split has no labels.
    """
    bank = store.split("bank")
    probes = {LINEAR: linear.fit_linear(bank.values, bank.labels)}
    if store.has_biased_labels:
        train = store.split("train")
        probes[LINEAR_BIASED] = linear.fit_linear(train.values, train.labels)
    found: dict[str, dict[str, Score]] = {protocol: {} for protocol in (KNN, *probes)}
    for variant in variants:
        queries = store.split(f"test/{variant}")
        neighbours = knn.knn_accuracy(
            bank.values,
            bank.labels,
            queries.values,
            queries.labels,
            k=knn.num_neighbours(len(bank.labels)),
            temperature=knn.TEMPERATURE,
        )
        found[KNN][variant] = _share(neighbours, len(queries.labels))
        for protocol, probe in probes.items():
            share = probe.accuracy(queries.values, queries.labels)
            found[protocol][variant] = _share(share, len(queries.labels))
    if set(_GAP_PARTS) <= set(variants):
        for scores in found.values():
            same, rand = (scores[variant] for variant in _GAP_PARTS)
            # As if the two tests were drawn apart; they show the same objects, so the truth is a little smaller.
            scores[GAP] = Score(same.value - rand.value, (same.error**2 + rand.error**2) ** 0.5)
    return found


def metrics(found: Mapping[str, Mapping[str, Score]]) -> dict[str, float]:
    """Scores and standard errors by metric name: `linear_test/1/mixed_rand`, `linear_test/1/mixed_rand_se`."""
    named: dict[str, float] = {}
    for protocol, scores in found.items():
        for variant, one in scores.items():
            named |= {f"{protocol}/{variant}": one.value, f"{protocol}/{variant}_se": one.error}
    return named


def fingerprint(module: nn.Module) -> str:
    """SHA-256 of every parameter and buffer, by name: equal before and after means that nothing was trained."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _share(share: float, count: int) -> Score:
    return Score(100 * share, standard_error(share, count))


def _read_features(file: Path) -> Features | None:
    if not file.exists():
        return None
    try:
        tensors = load_file(file)
    except SafetensorError:  # torn by a full disk, say: it is only a copy, made anew
        return None
    return Features(tensors["values"], tensors["labels"])
