import json

import pytest
import torch

from methods.parts.initial import initialise
from orchestrator import build
from orchestrator.errors import UserError
from orchestrator.training import export, hardware
from tests.orchestrator.tiny_run import tiny_run


@pytest.fixture
def exported(tmp_path):
    run = tiny_run()
    encoder = build.encoder(run)
    initialise(encoder, 1)
    encoder = encoder.to(memory_format=torch.channels_last)
    encoder.train()(torch.rand(4, 3, 16, 16))  # moves the running statistics
    card = export.describe(run, build.load_data(run).card, {"epoch": 2, "val_knn/1": 12.5, "time/epoch": 3.0})
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
    with pytest.raises(UserError, match="augsweep-encoder/2 must hold"):
        export.read(folder)
