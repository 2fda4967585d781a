"""A user's own metric: whatever is a number is taken, and a failure names the metric."""

import types
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from orchestrator.core.errors import UserError
from orchestrator.metrics import Timing
from orchestrator.records.folder import TrialFolder
from orchestrator.training import messages, planning, trial
from orchestrator.training.assembly import load_data
from orchestrator.training.metric_values import MetricError
from orchestrator.training.parts import Metric
from tests.orchestrator.tiny_run import tiny_run


def module(name: str = "mylab.recall", **fields: Any) -> types.ModuleType:
    made = types.ModuleType(name, "A user's own.")
    vars(made).update({"Config": Timing, "METRICS": ("m",)} | fields)
    return made


def value(found: object) -> Any:
    return Metric(module(evaluate=lambda *_: found), Timing())(lambda images: images, {})


NUMBERS = [
    0.5,
    np.float32(0.5),
    np.float64(0.5),
    np.float16(0.5),
    np.array(0.5),
    np.array([0.5]),
    torch.tensor(0.5),
    torch.tensor([[0.5]], dtype=torch.bfloat16),
    torch.tensor(0.5, requires_grad=True),
    Fraction(1, 2),
    Decimal("0.5"),
]


@pytest.mark.parametrize("number", NUMBERS, ids=[f"{type(one).__name__}-{place}" for place, one in enumerate(NUMBERS)])
def test_what_is_a_number_is_taken_as_one(number):
    found = value({"m": number})
    assert found == {"m": 0.5}
    assert type(found["m"]) is float


@pytest.mark.parametrize("number", [3, np.int64(3), np.uint8(3), torch.tensor(3), True and np.int32(3)])
def test_whole_numbers_stay_whole(number):
    assert type(value({"m": number})["m"]) is int


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"m": "0.5"}, "the metric m must be a number, not '0.5'"),
        ({"m": None}, "the metric m must be a number, not None"),
        ({"m": 1j}, "the metric m must be a number, not 1j"),
        ({"m": np.zeros(3)}, "the metric m must be a number, not array([0., 0., 0.])"),
        ({"m": torch.zeros(99)}, "the metric m must be a number, not Tensor"),
        ({"m": [0.5]}, "the metric m must be a number, not [0.5]"),
        (0.5, "evaluate must return a mapping {metric: number}, not float"),
        ({"n": 0.5}, "evaluate must return every metric of METRICS; m is missing"),
        ({"m": 0.5, 3: 1.0}, "the name of a metric must be a string, not 3"),
        ({"m": 0.5, "epoch": 1.0}, "the metric name epoch is reserved; choose another"),
    ],
)
def test_what_is_no_number_is_refused_by_name(found, expected):
    with pytest.raises(MetricError) as caught:
        value(found)
    assert str(caught.value) == f"run.evaluation.mylab.recall: {expected}"


def failing(error: BaseException) -> Any:
    def evaluate(*_: object) -> None:
        raise error

    return Metric(module("orchestrator.metrics.knn", evaluate=evaluate), Timing())


def test_failure_names_the_metric_in_one_line():
    with pytest.raises(MetricError, match=r"^run\.evaluation\.knn: ZeroDivisionError: division by zero$"):
        failing(ZeroDivisionError("division by zero"))(lambda images: images, {})
    with pytest.raises(torch.OutOfMemoryError):  # which has a remedy of its own
        failing(torch.OutOfMemoryError("CUDA out of memory"))(lambda images: images, {})


@pytest.mark.parametrize(
    ("error", "workers", "ends"),
    [(ZeroDivisionError("by zero"), 1, True), (ZeroDivisionError("by zero"), 2, False), (OSError("gone"), 1, False)],
)
def test_failing_metric_ends_its_trial_with_the_reason(tmp_path: Path, monkeypatch, error, workers, ends):
    results: list[dict[str, Any]] = []
    monkeypatch.setattr(trial.view_grid, "write", lambda *_: None)
    monkeypatch.setattr(trial.assembly, "train", lambda *_: failing(error)(lambda images: images, {}))
    monkeypatch.setattr(trial, "world_size", lambda: workers)
    run = tiny_run().dump()
    folder = TrialFolder(tmp_path / "0000")
    folder.write_config({"run": run})
    arguments = ({"folder": str(folder.path)}, results.append, load_data(tiny_run()), run["dataset"])
    if ends:
        trial.run_trial(*arguments)
        (reason,) = [messages.given_up(result) for result in results]
        assert reason == "run.evaluation.knn: ZeroDivisionError: by zero"
    else:
        with pytest.raises(MetricError):
            trial.run_trial(*arguments)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "must define evaluate(encode, splits, config)"),
        ({"evaluate": print, "METRICS": "m"}, "must define METRICS, a tuple of the metrics' names"),
    ],
)
def test_module_that_lacks_a_part_is_refused_at_the_start(monkeypatch, fields, expected):
    monkeypatch.setattr(planning, "find", lambda *_: module(**fields))
    with pytest.raises(UserError) as caught:
        planning.metrics(tiny_run())
    assert expected in str(caught.value)
