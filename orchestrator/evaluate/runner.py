"""Runs a suite on an encoder and stores the scores."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from types import ModuleType
from typing import Any

from orchestrator.core import hardware
from orchestrator.core.errors import UserError
from orchestrator.core.registry import find
from orchestrator.evaluate.suite import OWN, PROTOCOLS, Suite, Task
from orchestrator.evaluate.target import Subject
from orchestrator.probing.data import EvaluationData
from orchestrator.probing.frozen import FrozenEncoder
from orchestrator.probing.score import USUAL, Score
from orchestrator.records import test_scores


@dataclass(frozen=True)
class Row:
    """A score and what it was measured on.

    Args:
        protocol: name and version.
        data: name of the data set in the suite.
        dataset: its kind, such as `fashion_scenes`.
        fingerprint: of the data; scores are comparable only if it is equal.
        score: the number.
    """

    protocol: str
    data: str
    dataset: str
    fingerprint: str
    score: Score

    @property
    def metric(self) -> str:
        """Its name in MLflow: `linear_test/2/mixed_rand`, `few_shot/1/pets/original/1-shot`."""
        parts = [self.protocol, *([self.data] if self.data != OWN else [])]
        parts += [self.score.split.partition("/")[2]] if "/" in self.score.split else []
        parts += [self.score.metric] if self.score.metric != USUAL or len(parts) == 1 else []
        return "/".join(parts)


@dataclass(frozen=True)
class Unscored:
    """A protocol without a score on some data, and why.

    Args:
        protocol: file name.
        data: name of the data set in the suite.
        reason: in a sentence.
        mistake: whether the user can fix it; otherwise the protocol does not apply to such data.
    """

    protocol: str
    data: str
    reason: str
    mistake: bool


@dataclass(frozen=True)
class Evaluation:
    """The results of a suite.

    Args:
        subject: the evaluated encoder.
        rows: in the suite's order.
        unscored: protocols without a score.
        seconds: of each protocol, by its name and version.
        content: of `test.json`.
    """

    subject: Subject
    rows: Sequence[Row]
    unscored: Sequence[Unscored]
    seconds: dict[str, float]
    content: dict[str, Any]


class Runner:
    """Measures one encoder.

    Args:
        subject: the encoder.
        suite: the protocols and data.
    """

    def __init__(self, subject: Subject, suite: Suite) -> None:
        self._subject, self._suite = subject, suite
        self._data: dict[str, EvaluationData] = {}

    def run(self) -> Evaluation:
        """Measures every protocol on each of its data sets; a protocol that cannot be scored does not stop the others.

        Raises:
            UserError: if the data differ from those that the encoder was trained on.
        """
        rows: list[Row] = []
        unscored: list[Unscored] = []
        seconds: dict[str, float] = {}
        with hardware.arithmetic(self._subject.threads, self._subject.encoder.device):
            for task in self._suite.tasks:
                module = find(PROTOCOLS, task.protocol)
                began = time.perf_counter()
                for name in task.on:
                    found = self._measure(task, module, name)
                    rows += found if isinstance(found, list) else []
                    unscored += [found] if isinstance(found, Unscored) else []
                seconds[module.PROTOCOL] = time.perf_counter() - began
        return Evaluation(self._subject, rows, unscored, seconds, self._keep(rows, seconds) if rows else {})

    def _measure(self, task: Task, module: ModuleType, name: str) -> list[Row] | Unscored:
        encoder = self._subject.encoder
        before = encoder.fingerprint
        try:
            data = self._opened(name)
            found = module.measure(encoder, data, task.config)
        except (UserError, ValueError) as error:
            if name == OWN and isinstance(error, _OtherDataError):
                raise
            return Unscored(task.protocol, name, str(error), mistake=isinstance(error, UserError))
        if encoder.fingerprint_now() != before:
            raise RuntimeError(f"{module.PROTOCOL} changed the encoder that it measures")
        return [
            Row(module.PROTOCOL, name, data.config.name, data.card.fingerprint, _with_cut(score, encoder, data))
            for score in found
        ]

    def _opened(self, name: str) -> EvaluationData:
        """A data set of the suite, opened once; its test data then count as used."""
        if name not in self._data:
            config, subject = self._suite.datasets[name], self._subject
            module = find("orchestrator.datasets", config.name)
            if hasattr(module, "verify"):
                module.verify(config)
            data = EvaluationData(name, config, subject.encoder, subject.shelf.features)
            if name == OWN and subject.trained_on not in (None, data.card.fingerprint):
                raise _OtherDataError(
                    f"{subject.encoder.name}: the encoder was trained on data {subject.trained_on}, the data set is "
                    f"now {data.card.fingerprint}; numbers compare only where these are equal, so use the program "
                    "version that trained it, or give other data another name than own"
                )
            number = subject.trial.number if subject.trial else None
            test_scores.note_use(subject.shelf.book, subject.encoder.fingerprint, data.card.fingerprint, number)
            self._data[name] = data
        return self._data[name]

    def _keep(self, rows: Sequence[Row], seconds: dict[str, float]) -> dict[str, Any]:
        """Adds the scores to those of other suites on the same encoder; newer scores replace older ones."""
        shelf, encoder = self._subject.shelf, self._subject.encoder.fingerprint
        earlier = test_scores.read_scores(shelf.folder)
        old = earlier.content if earlier and earlier.content.get("encoder") == encoder else {}
        new = [_plain(row) for row in rows]
        measured = {_measured(row) for row in new}
        kept = [row for row in old.get("scores", []) if _measured(row) not in measured] + new
        metrics: dict[str, float] = {}
        for row in kept:
            metrics[row["name"]] = row["value"]
            if row["error"] is not None:
                metrics[f"{row['name']}_se"] = row["error"]
        own = self._data.get(OWN)
        looks = test_scores.uses(shelf.book, own.card.fingerprint if own else None)
        content = {
            "subject": self._subject.encoder.name,
            "encoder": encoder,
            "data_fingerprint": own.card.fingerprint if own else old.get("data_fingerprint"),
            "test_uses": len(looks),
            "encoders_tested": len({look["encoder"] for look in looks}),
            "seconds": old.get("seconds", {}) | {name: round(value, 3) for name, value in seconds.items()},
            "metrics": metrics,
            "scores": kept,
        }
        test_scores.write_scores(shelf.folder, content)
        return content


def _with_cut(score: Score, encoder: FrozenEncoder, data: EvaluationData) -> Score:
    """The score, with a note of how its images were resized and cut where the encoder's weights decide that."""
    if encoder.resize is None or (data.card.size == encoder.size and not hasattr(data.config, "resize")):
        return score
    resize = getattr(data.config, "resize", encoder.resize)
    interpolation = getattr(data.config, "interpolation", encoder.interpolation)
    cut = f"resized to {resize} px ({interpolation}), centre of {encoder.size} px" if resize else ""
    return replace(score, note="; ".join(part for part in (score.note, cut) if part))


class _OtherDataError(UserError):
    """The data differ from those of the training."""


def _measured(row: Mapping[str, Any]) -> tuple[str, str]:
    # A protocol's scores on some data are replaced together: other settings may give other scores.
    return row["protocol"], row["data"]


def _plain(row: Row) -> dict[str, Any]:
    source = {key: value for key, value in asdict(row).items() if key != "score"}
    return {"name": row.metric} | source | asdict(row.score)
