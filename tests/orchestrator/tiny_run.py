"""A run of a second, and the surroundings to train it in without Ray."""

import copy
import io
from typing import Any

import torch

from orchestrator.config.run import RunConfig, resolve

RUN: dict[str, Any] = {
    "seed": 3,
    "dataset": {"name": "synthetic", "size": 16, "train_size": 72, "validation_size": 40},
    "augment": {"recipes": {"weak": {"crop": {}, "flip": {}}, "aggressive": {"color_jitter": {}, "grayscale": {}}}},
    "method": {"name": "byol", "hidden": 16, "outputs": 8},
    "addons": {"msr": {}},
    "encoder": {"name": "resnet", "depth": 8, "width": 0.25},
    "optimizer": {"lr": 0.4},
    "training": {"epochs": 2, "batch_size": 16},
    "evaluation": {"knn": {}, "collapse": {}, "linear": {}, "view_retrieval": {}},
}


def tiny_run(**sections: Any) -> RunConfig:
    """The run above with some keys of some sections replaced; `addons` and `evaluation` are replaced whole."""
    raw = copy.deepcopy(RUN)
    for section, value in sections.items():
        whole = section in ("addons", "evaluation", "method") or not isinstance(value, dict)
        raw[section] = value if whole else {**raw[section], **value}
    return resolve(raw)


class Killed(BaseException):
    """Stands for `kill -9`."""


class Surroundings:
    """A `Context` that keeps everything in memory, checkpoints as the bytes that would be on disk.

    Args:
        saved: the checkpoint found at the start.
        kill_at: step whose checkpoint is the last thing that happens.
    """

    def __init__(self, saved: bytes | None = None, kill_at: int | None = None) -> None:
        self.saved, self.kill_at = saved, kill_at
        self.events: list[str] = []
        self.reports: list[dict[str, float]] = []
        self.states: dict[int, bytes] = {}
        self.exported: tuple[dict, dict] | None = None

    def report(self, metrics: dict[str, float]) -> None:
        self.events.append("report")
        self.reports.append(metrics)

    def save_checkpoint(self, state: dict) -> None:
        self.events.append("checkpoint")
        buffer = io.BytesIO()
        torch.save(state, buffer)
        self.states[state["step"]] = buffer.getvalue()
        if state["step"] == self.kill_at:
            raise Killed

    def load_checkpoint(self) -> dict | None:
        return None if self.saved is None else torch.load(io.BytesIO(self.saved), weights_only=True)

    def export(self, encoder_state: dict, card: dict) -> None:
        self.events.append("export")
        self.exported = copy.deepcopy(encoder_state), card


def timeless(reports: list[dict[str, float]]) -> list[dict[str, float]]:
    """Reports without what may differ between equal runs."""
    return [{k: v for k, v in report.items() if not k.startswith("time/")} for report in reports]
