"""Training and evaluation as a GPU has them: on its tensors alone, from graphs, without a wait inside an epoch."""

import io
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import pytest
import torch

from methods import simclr
from methods.encoders import resnet
from methods.parts.initial import init_weights
from orchestrator.config.run import RunConfig, resolve
from orchestrator.core import hardware
from orchestrator.core.registry import find, names
from orchestrator.data.on_host import HostImages
from orchestrator.datasets import fashion_scenes
from orchestrator.evaluate.protocols import adversarial
from orchestrator.metrics import DEFAULT_SPLITS
from orchestrator.probing import logistic
from orchestrator.probing.data import EvaluationData
from orchestrator.probing.features import encoder_features
from orchestrator.probing.frozen import FrozenEncoder, at_rest
from orchestrator.probing.score import Score
from orchestrator.training import assembly, graphs
from orchestrator.training.loop import Training
from orchestrator.training.parts import Data
from tests.fake_gpu import GPU, OnGPU, fake_gpu
from tests.orchestrator.data.streams import write_shards
from tests.orchestrator.tiny_run import RUN, Surroundings, timeless, tiny_run
from tests.orchestrator.training.test_every_combination import METHODS, RECIPES

CPU = torch.device("cpu")
LAYERS: dict[str, dict[str, Any]] = {
    "simclr": {"msr": {}, "augself": {"hidden": 16}},
    "moco_v2": {"background": {"kind": "swap", "p_query": 1.0, "p_key": 1.0, "p_negative": 1.0}},
    "byol": {"msr": {"schedule": "step"}, "background": {"kind": "random", "p_query": 1.0, "p_key": 1.0}},
    "simsiam": {"augself": {"hidden": 16}, "msr": {}},
    "swav": {"augself": {"hidden": 16}},
    "supervised": {"background": {"kind": "remove", "p_query": 1.0, "p_key": 1.0, "p_negative": 0.0}},
}
SCENES = fashion_scenes.Config(train_size=40, validation_size=20, test_size=20)
LOAD = cache(fashion_scenes.load)
# Protocols that have images on the encoder's device; the others ask for features, which come from there.
PROTOCOLS: dict[str, dict[str, Any]] = {
    "adversarial": {"eps": (4.0,), "steps": 1, "queries": 1, "images": 4},
    "background_challenge": {"foregrounds": 4, "backgrounds": 4},
    "linear_sgd": {"epochs": 1},
}


def run_of(method: str, optimizer: str, precision: str) -> RunConfig:
    """With its layers, two steps an epoch, three where what is frozen thaws after the first."""
    settings = METHODS[method] | ({"freeze": 0.5, "queue_size": 24, "queue_start": 0.3} if method == "swav" else {})
    return tiny_run(
        dataset={"train_size": 48 if method == "swav" else 32, "validation_size": 16},
        method=settings,
        addons=LAYERS[method],
        augment={"recipes": RECIPES},
        optimizer={"name": optimizer, "warmup_epochs": 0.5},
        training={"precision": precision},
        evaluation={"knn": {}},
    )


def trained(
    run: RunConfig,
    data: Data,
    device: torch.device,
    working: Callable[[], AbstractContextManager] = nullcontext,
    saved: dict | None = None,
) -> tuple[Training, Surroundings]:
    """The whole of a training, in which no step but the first, whose constants are sent, may make the host wait."""
    training, surroundings = assembly.training(run, data, device), Surroundings()
    if saved is not None:
        training.load_state_dict(saved)
    if device == CPU:  # learning rates and kernels as a GPU has them
        for group in training.optimizer.param_groups:
            group["lr"] = torch.tensor(group["lr"])
            group |= {"foreach": None, "fused": True} if run.optimizer.name == "sgd" else {}
    step = training.train_step

    def train_step(rows: torch.Tensor, epoch: int) -> object:
        with working() if training.step else nullcontext():
            return step(rows, epoch)

    training.train_step = train_step  # pyright: ignore[reportAttributeAccessIssue]
    with hardware.arithmetic(1, device):
        while training.step < training.steps:
            training.run_epoch(surroundings)
    return training, surroundings


@pytest.mark.parametrize(
    ("method", "optimizer", "precision"),
    [
        ("simclr", "sgd", "fp32"),
        ("moco_v2", "sgd", "bf16"),
        ("byol", "lars", "fp32"),
        ("simsiam", "sgd", "fp32"),
        ("swav", "sgd", "fp32"),
        ("supervised", "sgd", "bf16"),
    ],
)
def test_training_on_a_gpu_is_that_on_the_cpu(method, optimizer, precision, monkeypatch, caplog):
    run = run_of(method, optimizer, precision)
    data = assembly.load_data(run)
    plain, expected = trained(run, data, CPU)
    monkeypatch.setattr(graphs, "WARM_UP", 1)
    with fake_gpu() as working:
        training, surroundings = trained(run, data, hardware.device(), working)
        phases = [training._optimise._load, training._optimise._augment, training._optimise._learn]
        assert [len(phase._graphs) for phase in phases] == ([2] * 3 if method == "swav" else [1] * 3)
        assert all(isinstance(parameter, OnGPU) for parameter in training.objective.parameters())
    assert not caplog.messages
    assert timeless(surroundings.reports) == timeless(expected.reports)
    last = torch.load(io.BytesIO(surroundings.states[training.steps]), weights_only=True)
    for name, value in plain.objective.state_dict().items():
        assert torch.equal(value, last["objective"][name]), name


def test_training_on_a_gpu_goes_on_from_a_checkpoint():
    run = run_of("supervised", "sgd", "fp32")
    data = assembly.load_data(run)
    with fake_gpu() as working:
        _, whole = trained(run, data, GPU, working)
        saved = torch.load(io.BytesIO(whole.states[2]), weights_only=True)
        _, rest = trained(run, data, GPU, working, saved)
    assert timeless(rest.reports) == timeless(whole.reports[1:])


def test_images_that_a_gpu_has_no_room_for_are_fetched_without_a_wait(caplog):
    run = run_of("supervised", "sgd", "fp32")
    data = assembly.load_data(run)
    plain, _ = trained(run, data, CPU)
    with fake_gpu(memory=2 * data.splits["train"].nbytes - 1) as working:
        training, surroundings = trained(run, data, GPU, working)
        assert isinstance(training.images, HostImages)
    (message,) = caplog.messages
    assert "its images stay in host memory" in message
    last = torch.load(io.BytesIO(surroundings.states[training.steps]), weights_only=True)
    for name, value in plain.objective.state_dict().items():
        assert torch.equal(value, last["objective"][name]), name


def test_streamed_images_are_sent_without_a_wait(tmp_path, caplog):
    dataset = {"name": "parquet", "root": str(write_shards(tmp_path / "x")), "cache": str(tmp_path / "c"), "size": 16}
    dataset["stream"] = {"buffer": 16, "sample": 20}
    training = {"epochs": 1, "batch_size": 16, "precision": "fp32"}
    run = resolve(RUN | {"dataset": dataset, "training": training, "evaluation": {}})
    data = assembly.load_data(run)
    _, expected = trained(run, data, CPU)
    with fake_gpu() as working:
        _, surroundings = trained(run, data, GPU, working)
    assert caplog.messages == ["trains without CUDA graphs: its images are streamed"]
    assert timeless(surroundings.reports) == timeless(expected.reports)


@pytest.fixture
def scenes(monkeypatch):
    """Decoded once, and quickly fitted."""
    monkeypatch.setattr(fashion_scenes, "load", LOAD)
    monkeypatch.setattr(logistic, "ITERATIONS_OF_A_RUN", 3)
    monkeypatch.setattr(logistic, "MOST_ITERATIONS", 3)


def frozen() -> FrozenEncoder:
    """A tiny encoder on the machine's device."""
    network, card = resnet.build(resnet.Config(depth=8, width=0.25, stem="imagenet")), fashion_scenes.card(SCENES)
    init_weights(network, 0)
    return FrozenEncoder("tiny", at_rest(network), card.size, card.mean, card.std)


@pytest.mark.usefixtures("scenes")
def test_evaluations_on_a_gpu_are_those_on_the_cpu():
    evaluations = [find("orchestrator.metrics", name) for name in names("orchestrator.metrics")]
    needed = {split for one in evaluations for split in getattr(one, "SPLITS", DEFAULT_SPLITS)}
    splits = {split: LOAD(SCENES, split) for split in needed}

    def found() -> dict[str, float]:
        encoder = frozen()
        encode = encoder_features(encoder.network, encoder.mean, encoder.std)
        assert encode(splits["bank"].images).device.type == hardware.device().type
        return {
            name: value for one in evaluations for name, value in one.evaluate(encode, splits, one.Config()).items()
        }

    expected = found()
    with fake_gpu():
        assert found() == pytest.approx(expected, rel=1e-9)


def test_host_runs_ahead_of_a_gpu_that_encodes():
    images = LOAD(SCENES, "bank").images
    with fake_gpu() as working:
        encoder = frozen()
        for at_work in (nullcontext, working):  # at first the constants are sent
            with at_work():
                encoder_features(encoder.network, encoder.mean, encoder.std)(images)


@pytest.mark.usefixtures("scenes")
@pytest.mark.parametrize("name", PROTOCOLS)
def test_protocol_on_a_gpu_finds_what_it_finds_on_the_cpu(name, tmp_path, monkeypatch):
    monkeypatch.setattr(adversarial, "RESTARTS", 2)
    module = find("orchestrator.evaluate.protocols", name)

    def found(folder: str) -> list[Score]:
        encoder = frozen()
        data = EvaluationData("own", SCENES, encoder, tmp_path / folder)
        return module.measure(encoder, data, module.Config(**PROTOCOLS[name]))

    expected = found("cpu")
    with fake_gpu():
        assert found("gpu") == expected


@pytest.mark.parametrize(
    ("mistake", "problem"),
    [
        (lambda x: x.sum().item(), "reads from the device"),
        (lambda x: bool((x > 0).all()), "reads from the device"),
        (lambda x: x.cpu(), "two devices"),
        (lambda x: x + torch.ones(()), "two devices"),
        (lambda x: torch.ones(3).to(GPU), "two devices"),
        (lambda x: torch.tensor([1.0, 2.0, 3.0], device=GPU), "two devices"),
        (lambda x: x[torch.tensor([0, 2])], "two devices"),
        (lambda x: x[x > 0], "selects by a mask"),
        (lambda x: x.nonzero(), "shape that depends on values"),
        (lambda x: torch.cuda.synchronize(), "waits for the device"),
    ],
)
def test_gpu_at_work_refuses_what_waits_for_it(mistake, problem):
    with fake_gpu() as working:
        x = torch.ones(3, device=GPU)
        mistake(x)
        with working(), pytest.raises(AssertionError, match=problem):
            mistake(x)


@pytest.mark.parametrize(
    "mistake",
    [
        lambda x: x + torch.ones(3),
        lambda x: x.masked_fill(torch.ones(3, dtype=torch.bool), 0.0),
        lambda x: torch.ones(3)[x.long()],
        lambda x: x.numpy(),
    ],
)
def test_gpu_refuses_tensors_of_the_host(mistake):
    with fake_gpu(), pytest.raises((RuntimeError, TypeError), match=r"device|\.numpy\(\)"):
        mistake(torch.ones(3, device=GPU))


@pytest.mark.parametrize(
    ("seen", "problem"),
    [(lambda loss: loss * loss.detach().item(), "reads"), (lambda loss: loss * torch.rand(1), "device")],
)
def test_mistake_in_a_method_does_not_pass(seen, problem, monkeypatch):
    loss = simclr.nt_xent
    monkeypatch.setattr(simclr, "nt_xent", lambda *args, **kwargs: seen(loss(*args, **kwargs)))
    run = run_of("simclr", "sgd", "fp32")
    with fake_gpu() as working, pytest.raises((AssertionError, RuntimeError), match=problem):
        trained(run, assembly.load_data(run), GPU, working)
