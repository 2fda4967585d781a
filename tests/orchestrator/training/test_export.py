import json

import pytest
import torch

from methods.parts.initial import init_weights
from orchestrator.config.run import resolve
from orchestrator.core import hardware
from orchestrator.core.errors import UserError
from orchestrator.training import assembly, export
from tests.methods.encoders.test_resnet import randomised
from tests.orchestrator.tiny_run import tiny_run


@pytest.fixture
def exported(tmp_path):
    run = tiny_run()
    encoder = assembly.encoder(run)
    init_weights(encoder, 1)
    encoder = encoder.to(memory_format=torch.channels_last)
    encoder.train()(torch.rand(4, 3, 16, 16))  # moves the running statistics
    card = export.describe(run, assembly.load_data(run).card, {"epoch": 2, "val_knn/1": 12.5, "time/epoch": 3.0})
    export.write(tmp_path, encoder.state_dict(), card)
    return tmp_path, encoder.eval(), card


def test_encoder_comes_back_bitwise_frozen_and_with_its_card(exported):
    folder, encoder, card = exported
    found = export.read(folder)
    images = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(found.encoder(images), encoder(images))
    for name, value in encoder.state_dict().items():
        assert torch.equal(found.encoder.state_dict()[name], value)
    assert not found.encoder.training
    assert not any(parameter.requires_grad for parameter in found.encoder.parameters())
    assert found.card == card == json.loads((folder / "encoder.json").read_text())


@pytest.mark.parametrize(
    ("encoder", "library"),
    [
        ({"name": "resnet", "depth": 18, "stem": "imagenet"}, "torchvision"),
        ({"name": "resnet", "depth": 18, "stem": "strided"}, "torchvision"),
        ({"name": "resnet", "depth": 50, "stem": "cifar"}, "torchvision"),
        ({"name": "resnet", "depth": 50, "width": 0.25}, "orchestrator"),
        ({"name": "resnet", "depth": 8}, "orchestrator"),
        ({"name": "vit", "patch": 8, "image_size": 16}, "timm"),
        ({"name": "vit", "patch": 8, "pool": "mean"}, "timm"),
        ({"name": "timm", "model": "test_vit", "image_size": 16}, "timm"),
        ({"name": "timm", "model": "test_efficientnet"}, "timm"),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else value,
)
def test_card_says_how_to_load_the_weights_without_us(tmp_path, monkeypatch, encoder, library):
    pytest.importorskip(library)
    raw = tiny_run().dump()
    run = resolve(raw | {"encoder": encoder})
    ours = randomised(assembly.encoder(run))
    images = torch.rand(4, 3, 16, 16)
    ours.train()(images)  # moves the running statistics
    export.write(tmp_path, ours.state_dict(), export.describe(run, assembly.load_data(run).card, {}))
    monkeypatch.chdir(tmp_path)
    lines = json.loads((tmp_path / "encoder.json").read_text())["load"]
    assert any(f"import {library}" in line or f"from {library}" in line or f", {library}" in line for line in lines)
    assert library == "orchestrator" or not any("orchestrator" in line or "methods" in line for line in lines)
    found: dict = {}
    exec("\n".join(lines), found)
    torch.testing.assert_close(found["model"](images), ours.eval()(images), rtol=0, atol=1e-6)


def test_card_tells_data_licence_and_scores_but_no_timings(exported):
    _, _, card = exported
    assert card["data"]["licence"] == "CC0-1.0"
    assert card["metrics"] == {"epoch": 2, "val_knn/1": 12.5}
    assert card["precision"] == ("bf16" if hardware.computes_bf16(hardware.device()) else "fp32")
    assert card["run"]["training"]["precision"] == "auto"
    assert card["run"]["method"]["name"] == card["method"] == "byol"


@pytest.mark.parametrize("name", ["encoder.safetensors", "encoder.json"])
def test_missing_file_is_named(exported, name):
    folder, _, _ = exported
    (folder / name).unlink()
    with pytest.raises(UserError, match=name):
        export.read(folder)


@pytest.mark.parametrize("name", ["encoder.safetensors", "encoder.json"])
def test_torn_file_is_one_clear_error(exported, name):
    folder, _, _ = exported
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="damaged"):
        export.read(folder)


def test_other_formats_are_refused(exported):
    folder, _, card = exported
    (folder / "encoder.json").write_text(json.dumps({**card, "format": "augsweep-encoder/0"}))
    with pytest.raises(UserError, match="this version reads augsweep-encoder/2"):
        export.read(folder)
