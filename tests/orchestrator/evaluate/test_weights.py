"""Files of weights as other projects' training scripts leave them."""

import argparse
import pathlib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from orchestrator.core.errors import UserError
from orchestrator.evaluate import weights


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))


def state(prefix: str, value: float) -> dict[str, torch.Tensor]:
    return {f"{prefix}{key}": torch.full_like(tensor, value) for key, tensor in network().state_dict().items()}


def written(folder: Path, content: Any) -> Path:
    torch.save(content, folder / "file.pth")
    return folder / "file.pth"


VISSL = {"classy_state_dict": {"base_model": {"model": {"trunk": state("_feature_blocks.", 3), "heads": {}}}}}
LIGHTNING = {
    "state_dict": state("backbone.", 3),
    "hyper_parameters": argparse.Namespace(lr=0.1, to=argparse.Namespace()),
}
BYOL = {
    "online_network_state_dict": state("encoder.", 3),
    "optimizer_state_dict": {"state": {0: {"step": torch.ones(())}}},
}
DINO = {
    "student": state("module.backbone.", 2),
    "teacher": state("backbone.", 3),
    "args": argparse.Namespace(arch="r50"),
}


@pytest.mark.parametrize("content", [VISSL, LIGHTNING, BYOL], ids=["vissl", "lightning", "byol"])
def test_nested_weights_are_found(tmp_path: Path, content: dict) -> None:
    filled = network()
    weights.fill(filled, written(tmp_path, content))
    assert all((value == 3).all() for value in filled.state_dict().values())


def test_of_several_networks_the_user_says_which(tmp_path: Path) -> None:
    file, filled = written(tmp_path, DINO), network()
    with pytest.raises(UserError) as caught:
        weights.fill(filled, file)
    assert str(caught.value) == (
        f"{file}: holds 2 such networks; say which one: {file}#student.module.backbone., {file}#teacher.backbone."
    )
    weights.fill(filled, file, prefix="teacher.backbone.")
    assert all((value == 3).all() for value in filled.state_dict().values())


class Runs:
    """Unpickling it would write a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple:
        return Path.touch, (self.file,)


def test_objects_of_other_classes_are_named_and_not_loaded(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        weights.read(written(tmp_path, {"state_dict": state("", 1), "args": pathlib.PurePosixPath("logs")}))
    message = str(caught.value)
    assert "holds an object of class pathlib.PurePosixPath beside its weights" in message
    assert "extract its weights once" in message
    assert "\n" not in message
    trap = argparse.Namespace(args=Runs(tmp_path / "trap"))
    with pytest.raises(UserError, match="could run code"):
        weights.read(written(tmp_path, {"state_dict": state("", 1), "args": trap}))
    assert not (tmp_path / "trap").exists()


def test_file_without_a_tensor_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no tensors"):
        weights.read(written(tmp_path, {"state_dict": {"a": {"b": 1}}}))
