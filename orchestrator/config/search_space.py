"""The search space: dimensions by dotted path below `run`, some conditional on the values of others."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from orchestrator.config.mistakes import either, show

Scalar = str | int | float | bool | None
Kind = Literal["uniform", "log_uniform", "int"]


@runtime_checkable
class Trial(Protocol):
    """The part of `optuna.Trial` that a space needs, so that a file can be checked without Optuna."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """Suggest a number in [low, high]."""
        ...

    def suggest_int(self, name: str, low: int, high: int) -> int:
        """Suggest an integer in [low, high]."""
        ...

    def suggest_categorical(self, name: str, choices: Sequence[Scalar]) -> Scalar:
        """Suggest one of the choices."""
        ...


@dataclass(frozen=True)
class Range:
    """Numbers from low to high, both inclusive; only integers if `kind` is `int`."""

    kind: Kind
    low: int | float
    high: int | float

    def suggest(self, trial: Trial, path: str) -> int | float:
        """The value that a trial takes."""
        if self.kind == "int":
            return trial.suggest_int(path, int(self.low), int(self.high))
        return trial.suggest_float(path, self.low, self.high, log=self.kind == "log_uniform")

    def holds(self, value: object) -> bool:
        """Whether a trial could take the value."""
        numeric = isinstance(value, int if self.kind == "int" else int | float) and not isinstance(value, bool)
        return numeric and self.low <= value <= self.high  # pyright: ignore[reportOperatorIssue]

    def probes(self) -> tuple[int | float, ...]:
        """Values to validate in place of all: both ends, since the legal values of a field are an interval."""
        return self.low, self.high

    def label(self, value: Any) -> Scalar:
        """The value as a sampler sees it."""
        return value if self.kind == "int" else float(value)

    def __str__(self) -> str:
        return f"{self.kind} [{self.low:g}, {self.high:g}]"


@dataclass(frozen=True)
class Choice:
    """One of several values of any YAML type, whole sections included."""

    values: tuple[Any, ...]

    def suggest(self, trial: Trial, path: str) -> Any:
        """The value that a trial takes."""
        labels = [self.label(value) for value in self.values]
        return self.values[labels.index(trial.suggest_categorical(path, labels))]

    def holds(self, value: object) -> bool:
        """Whether a trial could take the value."""
        return any(_same(value, member) for member in self.values)

    def probes(self) -> tuple[Any, ...]:
        """Values to validate: every choice."""
        return self.values

    def label(self, value: Any) -> Scalar:
        """The value as samplers see it; Optuna stores only scalars, so lists and mappings become JSON."""
        # The same value has several spellings, such as [0, 1] and [0.0, 1]; the JSON uses the one in the file.
        member = next(member for member in self.values if _same(value, member))
        return member if isinstance(member, Scalar) else json.dumps(member)

    def __str__(self) -> str:
        return f"choice {', '.join(show(value) for value in self.values)}"


@dataclass(frozen=True)
class Dimension:
    """One searched field.

    Args:
        path: dotted path below `run`.
        domain: values that it may take.
        when: for each searched path, the values for which this dimension exists; all conditions must hold.
    """

    path: str
    domain: Range | Choice
    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    def active(self, values: Mapping[str, Any]) -> bool:
        """Whether the dimension exists, given the values of the others."""
        return all(path in values and Choice(wanted).holds(values[path]) for path, wanted in self.when.items())

    def __str__(self) -> str:
        terms = [f"{path} = {either(wanted)}" for path, wanted in self.when.items()]
        return f"{self.path}: {self.domain}" + (f"  when {' and '.join(terms)}" if terms else "")


@dataclass(frozen=True)
class Space:
    """The dimensions of a search, each after those in its `when` and the sections that contain it.

    Without dimensions a search has one trial.
    """

    dimensions: tuple[Dimension, ...] = ()

    def suggest(self, trial: Trial) -> dict[str, Any]:
        """Sample one setting, define-by-run: a value for every dimension that exists, given the previous values."""
        values: dict[str, Any] = {}
        for dimension in self.dimensions:
            if dimension.active(values):
                values[dimension.path] = dimension.domain.suggest(trial, dimension.path)
        return values

    def params(self, values: Mapping[str, Any]) -> dict[str, Scalar]:
        """Convert a setting, possibly partial, to Optuna's parameters (`Study.enqueue_trial`)."""
        return {d.path: d.domain.label(values[d.path]) for d in self.dimensions if d.path in values}

    def corners(self) -> Iterator[dict[str, Any]]:
        """Yield every combination of the dimensions' probes."""
        return self._corners({}, self.dimensions)

    def _corners(self, values: dict[str, Any], rest: Sequence[Dimension]) -> Iterator[dict[str, Any]]:
        if not rest:
            yield values
            return
        first, *others = rest
        if not first.active(values):
            yield from self._corners(values, others)
            return
        for value in first.domain.probes():
            yield from self._corners({**values, first.path: value}, others)

    def describe(self) -> list[str]:
        """Format the dimensions, one line each."""
        return [str(dimension) for dimension in self.dimensions]


def _same(one: object, other: object) -> bool:
    # 1 and 1.0 are the same value; true and 1 are not, although they are equal in Python.
    return one == other and isinstance(one, bool) == isinstance(other, bool)
