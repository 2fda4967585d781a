import json
import re
from typing import Any

import pytest
import torch
from torch.autograd import DeviceType
from torch.autograd.profiler_util import FunctionEvent

from methods.objective import Objective
from orchestrator.profile import __main__, phases
from orchestrator.training import assembly
from orchestrator.training.loop import Training
from orchestrator.training.stopwatch import Stopwatch
from tests.orchestrator.studies import with_changes, write_study
from tests.orchestrator.tiny_run import tiny_run

CPU, CUDA = DeviceType.CPU, DeviceType.CUDA


def event(name: str, start: float, end: float, **settings: Any) -> FunctionEvent:
    """What the profiler saw, in microseconds."""
    number, thread = settings.pop("number", 0), settings.pop("thread", 1)
    return FunctionEvent(number, name, thread, float(start), float(end), **settings)


def mark(name: str, start: float, end: float, device: DeviceType = CPU) -> FunctionEvent:
    """A phase, as it is marked on the host and repeated on the device."""
    return event(name, start, end, device_type=device, is_user_annotation=device == CPU)


def launched(number: int, call: str, start: float, *lengths: float, thread: int = 1) -> list[FunctionEvent]:
    """A call that launches kernels, and those, of some lengths, on a device far behind."""
    kernels = [event("gemm", 1000, 1000 + length, number=number, device_type=CUDA) for length in lengths]
    return [event(call, start, start + 1, number=number, thread=thread), *kernels]


def test_profile_tells_where_the_time_of_a_step_goes(tmp_path, capsys):
    file, trace = write_study(tmp_path, with_changes()), tmp_path / "trace.json"
    assert __main__.main([str(file), "--steps", "2", "--trace", str(trace)]) == 0
    _, steps, work, evaluations = capsys.readouterr().out.partition("\ntrace")[0].split("\n\n")
    shares = {name: float(share) for share, name in re.findall(r"^ +([\d.]+) % .* ms  (.+)$", steps, re.M)}
    assert list(shares) == [
        *("loading", "augmentation", "training, remainder"),
        *("forward", "backward", "optimizer", "after step", "between phases"),
    ]
    assert sum(shares.values()) == pytest.approx(100, abs=0.5)
    assert min(shares["augmentation"], shares["forward"], shares["backward"]) > 0
    assert len(work.splitlines()) == 11
    assert re.search(r" [1-9]\d*\.0 x   aten::convolution_backward$", work, re.M)
    assert re.findall(r"x (\d+)  (\w+)$", evaluations, re.M) == [("3", "features"), ("3", "knn"), ("1", "linear")]
    marks = [one["name"] for one in json.loads(trace.read_text())["traceEvents"] if one.get("cat") == "user_annotation"]
    assert {name: marks.count(name) for name in phases.PHASES} == dict.fromkeys(phases.PHASES, 2)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("studi.yaml",), "studi.yaml: no such file"),
        (("study.yaml", "--set", "run.training.epoch=1"), "run.training.epoch = 1: unknown key; did you mean epochs?"),
        (("study.yaml", "--steps", "0"), "--steps 0 is less than 1"),
        (("study.yaml", "--trace", "nowhere/trace.json"), "--trace nowhere/trace.json cannot be written"),
    ],
)
def test_profile_reports_a_mistake_in_one_line(tmp_path, monkeypatch, capsys, arguments, expected):
    write_study(tmp_path, with_changes())
    monkeypatch.chdir(tmp_path)
    assert __main__.main(arguments) == 2
    output = capsys.readouterr()
    assert output.err.startswith("error: ")
    assert expected in output.err
    assert output.err.count("\n") == 1
    assert not output.out


def test_marks_are_gone_after_the_block_even_if_it_fails():
    run = tiny_run()
    training = assembly.training(run, assembly.load_data(run), torch.device("cpu"))
    before = Objective.forward, Objective.after_step, torch.Tensor.backward, Stopwatch.measure
    with pytest.raises(KeyboardInterrupt):
        _interrupted(training)
    assert (Objective.forward, Objective.after_step, torch.Tensor.backward, Stopwatch.measure) == before


def _interrupted(training: Training) -> None:
    original = Objective.forward
    with phases.marked(training):
        assert Objective.forward is not original
        raise KeyboardInterrupt


def test_host_seconds_of_a_phase_are_without_those_of_phases_inside_it():
    events = [
        mark("training", 10, 100),
        mark("forward", 10, 40),
        event("aten::mm", 12, 30),
        mark("backward", 50, 90),
        mark("loading", 0, 4),
        mark("training", 0, 1000, CUDA),
    ]
    seconds = phases.host_seconds(events)
    assert seconds == pytest.approx({"training": 20e-6, "forward": 30e-6, "backward": 40e-6, "loading": 4e-6})


def test_device_seconds_go_to_the_phase_that_launched_them():
    events = [
        mark("augmentation", 0, 8),
        *launched(5, "cudaGraphLaunch", 3, 10, 20, 30),
        mark("training", 10, 100),
        mark("training", 900, 5000, CUDA),
        mark("forward", 10, 40),
        event("aten::mm", 20, 50, number=7),  # of the same number as a launch
        *launched(6, "cudaLaunchKernel", 12, 300),
        mark("backward", 50, 90),
        *launched(7, "cuLaunchKernelEx", 60, 500, thread=2),  # by the thread of a backward pass
        *launched(8, "cudaMemcpyAsync", 95, 7),
        *launched(9, "cudaMemsetAsync", 120, 2),
        event("gemm", 2000, 2001, number=99, device_type=CUDA),  # launched before anybody looked
    ]
    wanted = {"augmentation": 60e-6, "forward": 300e-6, "backward": 500e-6, "training": 7e-6, phases.OTHER: 3e-6}
    assert phases.device_seconds(events) == pytest.approx(wanted)


def test_time_of_a_replayed_step_is_split_into_parts_that_add_up():
    eager = [
        mark("training", 0, 100),
        mark("forward", 0, 40),
        *launched(1, "cudaLaunchKernel", 10, 1),
        mark("backward", 40, 90),
        *launched(2, "cudaLaunchKernel", 60, 3, thread=2),
    ]
    events = [
        mark("loading", 0, 4),
        event("cudaGraphLaunch", 2, 3, number=1),
        event("gather", 10, 20, number=1, device_type=CUDA),
        mark("training", 4, 9),
        event("cudaGraphLaunch", 5, 6, number=2),
        event("gemm", 20, 40, number=2, device_type=CUDA),
        event("gemm", 50, 70, number=2, device_type=CUDA),
    ]
    spent = phases.on_device(events, 80e-6, eager=eager)
    wanted = {"loading": 10e-6, "forward": 10e-6, "backward": 30e-6, "training": 0, phases.IDLE: 30e-6}
    assert {name: spent.get(name, 0) for name in wanted} == pytest.approx(wanted)
    assert sum(spent.values()) == pytest.approx(80e-6)


def test_a_gpu_is_busy_once_however_much_it_does_at_a_time():
    events = [
        event("gemm", 0, 10, device_type=CUDA),
        event("copy", 5, 8, device_type=CUDA),
        event("gemm", 9, 12, device_type=CUDA),
        event("gemm", 20, 21, device_type=CUDA),
        mark("Optimizer.step#SGD.step", 0, 100),
        mark("Optimizer.step#SGD.step", 0, 500, CUDA),
        event("aten::mm", 30, 40, device_type=CPU),
    ]
    assert phases.busy_seconds(events) == pytest.approx(13e-6)
    assert phases.heaviest(events, on_gpu=True) == [("gemm", pytest.approx(14e-6), 3), ("copy", pytest.approx(3e-6), 1)]


def test_a_replayed_training_is_split_in_the_proportions_before_its_capture():
    parts = {"loading": 9.0, "forward": 2.0, "backward": 5.0, "optimizer": 2.0, "training": 1.0}
    divided = {"forward": 4.0, "backward": 10.0, "optimizer": 4.0, "after step": 0.0, "training": 2.0}
    assert phases.split({"loading": 1.0, "training": 20.0}, parts) == {"loading": 1.0, **divided}
    seen = {"training": 1.0, "forward": 3.0}
    assert phases.split(seen, parts) == seen
