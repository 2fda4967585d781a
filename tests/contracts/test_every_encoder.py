"""The contract of every module in `methods/encoders/`; new modules are tested automatically."""

import importlib
import inspect
from copy import deepcopy
from importlib.util import find_spec
from types import ModuleType

import pytest
import torch
from torch import Tensor

from augment import draws
from augment.config import Config
from methods.contract import Encoder
from methods.parts.initial import init_weights
from orchestrator.core.registry import names
from tests.contracts.test_every_method import planted

NAMES = names("methods.encoders")  # those whose libraries are installed
# The smallest encoder of each family; one that is not listed is built with its defaults.
SMALL = {
    "resnet": {"depth": 8, "width": 0.25},
    "vit": {"patch": 8, "image_size": 16},
    "timm": {"model": "test_resnet"},
}
SIDES = (16, 32)


def load(name: str) -> ModuleType:
    return importlib.import_module(f"methods.encoders.{name}")


def built(module: ModuleType, seed: int = 0) -> Encoder:
    name = module.__name__.rpartition(".")[2]
    encoder = module.build(module.Config(**SMALL.get(name, {})))
    init_weights(encoder, seed)
    return encoder


def images(side: int = SIDES[0], batch: int = 4) -> Tensor:
    return draws.normal(0, "images", (batch, 3, side, side))


def check_encoder(module: ModuleType) -> None:
    """Raises an AssertionError that names the broken rule if a module is not a valid encoder."""
    name = module.__name__.rpartition(".")[2]
    config = getattr(module, "Config", None)
    assert isinstance(config, type), f"{name} defines no Config"
    assert issubclass(config, Config), f"{name}.Config is not a subclass of augment.config.Config"
    assert config.model_fields["name"].default == name, f"the default name of {name}.Config differs from the module's"
    assert callable(getattr(module, "build", None)), f"{name} defines no build"
    assert list(inspect.signature(module.build).parameters) == ["config"], f"{name}.build takes other arguments"
    for public in (module, config, module.build):
        assert inspect.getdoc(public), f"{name}: {public} has no docstring"
    encoder = built(module)
    assert isinstance(encoder, Encoder), f"{name}.build does not return a methods.contract.Encoder"
    assert isinstance(encoder.num_features, int), f"{name}.num_features is not an int"
    for side in (*SIDES, *((1, 7) if encoder.any_size else ())):
        features = encoder(images(side))
        assert features.shape == (4, encoder.num_features), f"{name} gives {tuple(features.shape)} features"


def test_encoders_are_found():
    assert set(NAMES) >= {"resnet", "vit"} | ({"timm"} if find_spec("timm") else set())


@pytest.mark.parametrize("name", NAMES)
class TestEveryEncoder:
    def test_is_an_encoder(self, name):
        check_encoder(load(name))

    def test_weights_are_functions_of_the_seed(self, name):
        one = built(load(name))
        torch.nn.Linear(3, 3)  # advances torch's global generator, which must not matter
        same, other = built(load(name)), built(load(name), seed=1)
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
        for (key, a), b in zip(one.named_parameters(), other.parameters(), strict=True):
            assert a.isfinite().all(), f"{key} is not finite"
            assert torch.equal(a, b) == bool((a == a.flatten()[0]).all()), f"{key} ignores the seed"

    def test_features_vary_with_the_image_and_with_nothing_else(self, name):
        encoder = built(load(name))
        assert torch.equal(encoder.train()(images()), deepcopy(encoder).train()(images())), (
            "training mode draws random numbers"
        )
        encoder.eval()
        features = encoder(images())
        assert torch.equal(encoder(images()), features)
        torch.testing.assert_close(encoder(images()[:1]), features[:1])
        assert torch.pdist(features).min() > 0

    def test_state_dict_carries_everything(self, name):
        one, other = built(load(name)), built(load(name), seed=1)
        one.train()(images())  # updates running statistics
        other.load_state_dict(one.state_dict())
        assert torch.equal(one.eval()(images()), other.eval()(images()))
        assert other.state_dict().keys() == one.state_dict().keys()

    def test_trains_in_low_precision_with_deterministic_kernels(self, name):
        encoder = built(load(name)).to(memory_format=torch.channels_last)
        batch = images(SIDES[1]).to(memory_format=torch.channels_last)
        torch.set_deterministic_debug_mode("error")
        try:
            with torch.autocast("cpu", torch.bfloat16):
                features = encoder(batch)
            (features.float() ** 2).sum().backward()
        finally:
            torch.set_deterministic_debug_mode("default")
        for key, parameter in encoder.named_parameters():
            assert parameter.grad is not None, f"{key} has no gradient"
            assert parameter.grad.isfinite().all()
            assert parameter.grad.dtype == parameter.dtype == torch.float32
        assert all(buffer.dtype != torch.bfloat16 for buffer in encoder.buffers())

    def test_shape_can_be_asked_without_numbers(self, name):
        with torch.device("meta"):
            encoder = load(name).build(load(name).Config(**SMALL.get(name, {})))
            assert encoder(torch.empty(2, 3, 32, 32)).shape == (2, encoder.num_features)

    def test_other_libraries_take_its_state_dict(self, name):
        module = load(name)
        encoder = built(module).eval()
        lines = module.reference_code(module.Config(**SMALL.get(name, {}))) if hasattr(module, "reference_code") else []
        if not lines:
            pytest.skip("no other library has this encoder")
        found = {}
        exec("\n".join(lines), found)
        found["model"].load_state_dict(encoder.state_dict())
        torch.testing.assert_close(found["model"].eval()(images()), encoder(images()), rtol=0, atol=1e-6)


GOOD = '''"""An encoder."""
from torch import nn
from augment.config import Config as Base
from methods.contract import Encoder
class Config(Base):
    """Nothing."""
    name: str = "planted"
class Flat(Encoder):
    num_features = 8
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
    def forward(self, images):
        return self.conv(images).mean((2, 3))
def build(config):
    """The mean of some maps."""
    return Flat()
'''


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("class Config(Base)", "class Settings(Base)"), "defines no Config"),
        (("class Config(Base)", "class Config"), "not a subclass of augment.config.Config"),
        (('"planted"', '"other"'), "default name of planted.Config differs"),
        (("def build", "def make"), "defines no build"),
        (("build(config)", "build(config, size=8)"), "takes other arguments"),
        (('"""The mean of some maps."""', ""), "has no docstring"),
        (("Flat(Encoder)", "Flat(nn.Module)"), "does not return a methods.contract.Encoder"),
        (("num_features = 8", "num_features = 8.0"), "num_features is not an int"),
        (("num_features = 8", "num_features = 9"), r"gives \(4, 8\) features"),
        ((".mean((2, 3))", ""), r"gives \(4, 8, 14, 14\) features"),
    ],
)
def test_malformed_module_is_rejected(tmp_path, monkeypatch, change, message):
    with pytest.raises(AssertionError, match=message):
        check_encoder(planted(GOOD.replace(*change), tmp_path, monkeypatch))


def test_well_formed_module_is_accepted(tmp_path, monkeypatch):
    check_encoder(planted(GOOD, tmp_path, monkeypatch))
