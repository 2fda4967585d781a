"""The exported encoder: weights in safetensors, and a card in JSON that describes them."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from orchestrator.config.run import RunConfig, identity
from orchestrator.core import hardware
from orchestrator.core.errors import UserError
from orchestrator.core.registry import find
from orchestrator.data.images import DatasetCard
from orchestrator.records.folder import CONFIG, ENCODER_CARD, ENCODER_WEIGHTS
from orchestrator.storage.path import parse
from orchestrator.storage.place import Place
from orchestrator.training.context import Report

FORMAT = "augsweep-encoder/2"


@dataclass(frozen=True)
class Exported:
    """An encoder read back.

    Args:
        encoder: in eval mode, without gradients, on CPU.
        card: see `describe`.
    """

    encoder: nn.Module
    card: dict[str, Any]


def describe(run: RunConfig, card: DatasetCard, metrics: Report) -> dict[str, Any]:
    """The card of a finished run's encoder, in JSON's types; made where it was trained, for it says in what precision.

    Args:
        run: the whole run, which the card repeats so that it can be made again.
        card: of the data it was trained on; its licence travels with the weights.
        metrics: of the last epoch; timings are left out.
    """
    return {
        "format": FORMAT,
        "encoder": run.dump()["encoder"],
        "load": loading(run),
        "input": {"size": card.size, "mean": list(card.mean), "std": list(card.std), "range": [0, 1]},
        "data": {"name": run.dataset.name, "fingerprint": card.fingerprint, "licence": card.licence},
        "method": run.method.name,
        "addons": list(run.addons),
        "metrics": {name: value for name, value in metrics.items() if not name.startswith("time/")},
        "precision": "bf16" if hardware.uses_bf16(run.training.precision, hardware.device()) else "fp32",
        "identity": identity(run),
        "run": run.dump(),
        "torch": str(torch.__version__),
    }


def loading(run: RunConfig) -> list[str]:
    """Lines of Python that turn the files into a network, `model`, where the folder is the working directory.

    They need only torchvision or timm if one of them has the architecture, and this package otherwise.
    """
    module = find("methods.encoders", run.encoder.name)
    # `elsewhere` is the older name, which a user's module may still define.
    reference_code = getattr(module, "reference_code", getattr(module, "elsewhere", None))
    made = reference_code(run.encoder) if reference_code is not None else []
    if made:
        load = f'model.load_state_dict(load_file("{ENCODER_WEIGHTS}"))'
        return ["from safetensors.torch import load_file", *made, load, "model.eval()"]
    return [
        "from pathlib import Path",
        "from orchestrator.training import export",
        'model = export.read(Path(".")).encoder',
    ]


def write(folder: Place | Path, encoder_state: Mapping[str, Tensor], card: Mapping[str, Any]) -> None:
    """Put both files into a folder; the card comes last, so that where a card is there are whole weights.

    Raises:
        OSError: if the disk is full or refuses.
    """
    folder = parse(folder)
    # safetensors stores rows one after the other and knows no channels_last.
    weights = save({name: value.detach().cpu().contiguous() for name, value in encoder_state.items()})
    (folder / ENCODER_WEIGHTS).write(weights, parents=False)
    (folder / ENCODER_CARD).write(json.dumps(dict(card), indent=2) + "\n", parents=False)


def read(folder: Place | Path) -> Exported:
    """The encoder of a folder, ready for use.

    Raises:
        UserError: if a file is missing, damaged, or of another format.
    """
    folder = parse(folder)
    weights, described = folder / ENCODER_WEIGHTS, folder / ENCODER_CARD
    if not described.exists():
        raise UserError(f"{described} does not exist: only a finished trial has an encoder")
    if not weights.exists():  # the card is written last, and stays
        rerun = f"python -m orchestrator.sweep {shlex.quote((folder / CONFIG).display())}"
        raise UserError(f"{weights} is gone: better trials took its place (sweep.keep); {rerun} trains it again")
    try:
        card = json.loads(described.read_text(encoding="utf-8"))
        if card["format"] != FORMAT:
            raise UserError(f"{described}: format is {card['format']}; this version reads {FORMAT}, so export it again")
        module = find("methods.encoders", card["encoder"]["name"])
        encoder = module.build(module.Config.model_validate_json(json.dumps(card["encoder"])))
        encoder.load_state_dict(load(weights.read_bytes()))
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise UserError(f"{folder}: the exported encoder is damaged ({type(error).__name__}): {error}") from error
    return Exported(encoder.eval().requires_grad_(False), card)
