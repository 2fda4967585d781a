import sys

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from augment import draws
from methods.contract import Encoder
from methods.parts.initial import init_weights
from methods.parts.momentum_encoder import MomentumEncoder
from orchestrator.core.errors import UserError
from orchestrator.core.registry import find, names

library = pytest.importorskip("timm")
timm = find("methods.encoders", "timm")


def drawn(model: str, **fields) -> Encoder:
    encoder = timm.build(timm.Config(model=model, **fields))
    init_weights(encoder, 0)
    return encoder


def images(side: int = 32, batch: int = 2) -> torch.Tensor:
    return draws.normal(0, "images", (batch, 3, side, side))


# One of each kind of layer: transformer with register tokens, windows with relative positions, scaled weights, GRN.
@pytest.mark.parametrize(
    ("model", "side", "fields"),
    [
        ("test_vit4", 32, {"image_size": 32}),
        ("test_maxvit", 64, {"image_size": 64}),
        ("test_nfnet", 32, {}),
        ("test_convnext2", 32, {}),
        ("mobilenetv3_small_050", 32, {}),
    ],
)
def test_state_dict_is_timms_and_gives_its_features(model, side, fields):
    ours = drawn(model, **fields)
    ours.train()(images(side))  # moves running statistics
    size = {"img_size": side} if fields else {}
    theirs = library.create_model(model, num_classes=0, **size)
    theirs.load_state_dict(ours.state_dict())
    assert torch.equal(ours.eval()(images(side)), theirs.eval()(images(side)))
    assert ours.num_features == theirs(images(side)).shape[1]


# The smallest of each, where timm still has it.
FAMILIES = [
    "crossvit_tiny_240",
    "densenet121",
    "edgenext_xx_small",
    "efficientvit_b0",
    "ghostnet_050",
    "gmlp_ti16_224",
    "iformer_t",
    "levit_128s",
    "mobilevit_xxs",
    "pvt_v2_b0",
    "regnety_002",
    "repvit_m0_9",
    "starnet_s1",
    "xcit_nano_12_p16_224",
]


def known(model: str) -> str:
    if model not in library.list_models():
        pytest.skip(f"timm {library.__version__} has no {model}")
    return model


@pytest.mark.slow  # seconds each
@pytest.mark.parametrize("model", FAMILIES)
def test_every_family_is_drawn_and_gives_its_features(model):
    encoder = drawn(known(model)).train()
    assert all(parameter.isfinite().all() for parameter in encoder.parameters())
    batch = images(encoder.model.default_cfg["input_size"][-1])
    features = encoder(batch)
    assert features.shape == (2, encoder.num_features)
    assert torch.pdist(features) > 0
    assert torch.equal(encoder(batch), features)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["sequencer2d_s", "swiftformer_xs"])
def test_families_that_the_docstring_names_are_refused(model):
    assert model.partition("_")[0].removesuffix("2d") in timm.__doc__.lower()
    with pytest.raises(ValueError, match=r"teach methods/parts/initial\.py"):
        drawn(known(model))


def test_names_are_timms_inside_a_method_too():
    method = nn.ModuleDict({"encoder": drawn("test_resnet"), "head": nn.Linear(96, 4)})
    method["twin"] = MomentumEncoder(method["encoder"])
    names_of_timm = set(library.create_model("test_resnet", num_classes=0).state_dict())
    state = method.state_dict()
    own = {name for name in state if name.startswith("encoder.")}
    assert own == {f"encoder.{name}" for name in names_of_timm}
    assert {name.removeprefix("twin.networks.0.") for name in state if name.startswith("twin")} == names_of_timm
    changed = {name: value + 1 for name, value in state.items()}
    method.load_state_dict(changed)
    assert all(torch.equal(value, changed[name]) for name, value in method.state_dict().items())


def test_dropout_and_stochastic_depth_are_off():
    model = "test_vit_relpos"  # has a dropout that is on
    assert any(isinstance(layer, nn.Dropout) and layer.p for layer in library.create_model(model).modules())
    encoder = drawn(model, image_size=32).train()
    assert torch.equal(encoder(images()), encoder(images()))
    many = images(64, 32)  # so many that no two draws are alike
    options = ["drop_path_rate", "attn_drop_rate", "patch_drop_rate"]
    models = [library.create_model("test_vit", num_classes=0, img_size=64, **{option: 0.5}) for option in options]
    models.append(library.create_model("test_resnet", num_classes=0, drop_rate=0.5))  # by a function, in no layer
    for model in models:
        assert not torch.equal(model.train()(many), model(many))
        encoder = timm.Timm(model, model.num_features)
        assert torch.equal(encoder(many), encoder(many))


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"model": "convnext_ato"}, "must be one of timm.list_models.*did you mean convnext_atto?"),
        ({"model": "hf-hub:someone/something"}, "must be one of timm.list_models"),
        ({"model": "test_vit", "image_size": 0}, "greater than or equal to 1"),
        ({}, "Field required"),
    ],
)
def test_config_refuses_what_timm_does_not_have(fields, problem):
    with pytest.raises(ValidationError, match=problem):
        timm.Config(**fields)


@pytest.mark.parametrize(("model", "size"), [("test_resnet", 32), ("test_vit_relpos", 8)])
def test_image_size_that_the_model_cannot_take_is_told(model, size):
    with pytest.raises(ValueError, match=f"model={model} cannot be built with image_size={size}: "):
        timm.build(timm.Config(model=model, image_size=size))


def test_without_timm_its_file_says_so_and_the_others_work(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)  # as if it were not installed
    monkeypatch.delitem(sys.modules, "methods.encoders.timm")
    with pytest.raises(UserError, match=r"it needs timm, which is not installed; pip install '\.\[timm\]'$"):
        find("methods.encoders", "timm")
    found = names("methods.encoders")
    assert "timm" not in found
    assert {"resnet", "vit"} <= set(found)
