import logging
import subprocess
import sys

import pytest
import torch

from orchestrator.training import compiling

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("choice", "device", "pixels", "expected"),
    [
        ("auto", CPU, 10**15, False),
        ("auto", GPU, 200 * 50_000 * 2 * 32**2, False),
        ("auto", GPU, 200 * 105_000 * 2 * 96**2, True),
        ("always", CPU, 1, True),
        ("never", GPU, 10**15, False),
    ],
)
def test_long_trainings_on_a_gpu_are_worth_it(choice, device, pixels, expected):
    assert compiling.worthwhile(choice, device, pixels) == expected


def test_function_that_cannot_be_compiled_runs_uncompiled_and_warns_once(monkeypatch, caplog):
    from torch._dynamo.exc import Unsupported

    def refuse(function, **settings):
        def call(*args):
            raise Unsupported("no compiler\nand a long story", "") from None

        return call

    monkeypatch.setattr(torch, "compile", refuse)
    with caplog.at_level(logging.WARNING):
        double = compiling.compiled(lambda number: 2 * number)
        assert [double(1), double(2)] == [2, 4]
    assert caplog.messages == ["trains without compiled augmentation: no compiler"]


def test_the_reason_of_a_failed_compilation_is_never_empty(monkeypatch, caplog):
    from torch._dynamo.exc import BackendCompilerFailed

    def refuse(function, **settings):
        def call(*args):
            raise BackendCompilerFailed("inductor", AssertionError("a constant is there twice"), None)

        return call

    monkeypatch.setattr(torch, "compile", refuse)
    with caplog.at_level(logging.WARNING):
        double = compiling.compiled(lambda number: 2 * number)
        assert [double(1), double(2)] == [2, 4]
    (message,) = caplog.messages
    assert message.endswith("AssertionError: a constant is there twice")


# In a process of its own: a compiler cannot look through the type checks that tests put around every function.
TRAINED = """
import torch
from orchestrator.core import hardware
from orchestrator.training import assembly
from tests.orchestrator.tiny_run import tiny_run

for choice in ("never", "always"):
    run = tiny_run(training={"compile": choice})
    with hardware.arithmetic(1, torch.device("cpu")):
        training = assembly.training(run, assembly.load_data(run), torch.device("cpu"))
        print(*(float(training.train_step(torch.arange(16), 1).total.detach()) for _ in range(4)))
"""


@pytest.mark.slow
def test_compiled_views_train_as_others_do():
    done = subprocess.run([sys.executable, "-c", TRAINED], capture_output=True, text=True, check=True)
    plain, compiled = ([float(loss) for loss in line.split()] for line in done.stdout.splitlines())
    assert compiled == pytest.approx(plain, rel=1e-5)
    assert "without compiled" not in done.stderr
