import numpy as np
import pytest
import torch

from orchestrator.core.errors import UserError
from orchestrator.core.registry import find
from orchestrator.data.images import ImageSet
from orchestrator.metrics import background_gap
from orchestrator.metrics.background_gap import RAND, SAME
from orchestrator.probing.features import pixel_features
from orchestrator.study.study_file import load_study
from tests.orchestrator.studies import with_changes, write_study


def pictures(objects: np.ndarray, backgrounds: np.ndarray) -> ImageSet:
    """Images of two pixels, the object's and the background's, each with a colour of its class out of two."""
    colours = np.array([[255, 0, 0], [0, 0, 255]], np.uint8)
    images = np.stack([colours[objects], colours[backgrounds]], axis=1)[:, None]
    return ImageSet(np.ascontiguousarray(images), objects.astype(np.int64))


def gap_of(weights: tuple[float, float]) -> dict[str, float]:
    """By an encoder that weighs object and background so, on training images whose two always fit."""
    classes = np.arange(100) % 2
    any_class = np.arange(100) // 50
    splits = {
        "train": pictures(classes, classes),
        f"validation/{SAME}": pictures(classes, classes),
        f"validation/{RAND}": pictures(classes, any_class),
    }
    scale = torch.tensor(weights).view(1, 1, 1, 2, 1)

    def encode(images: np.ndarray) -> torch.Tensor:
        return (torch.from_numpy(images).float()[:, None] * scale).flatten(1)

    return background_gap.evaluate(encode, splits, background_gap.Config())


def test_gap_is_what_only_the_background_earns():
    blind, biased = gap_of((1.0, 0.0)), gap_of((0.1, 1.0))
    assert blind["background_gap/1"] == 0
    assert blind["background_gap/1/mixed_rand"] == 100
    assert biased["background_gap/1"] == 50  # right before every fitting background, else in one half
    assert biased["background_gap/1/mixed_same"] == 100
    assert biased["background_gap/1_se"] == pytest.approx(100 * (0.5 * 0.5 / 100) ** 0.5)


def test_gap_grows_with_the_bias_of_the_labels():
    scenes = find("orchestrator.datasets", "fashion_scenes")
    gaps = []
    for rho in (0.0, 0.9):
        config = scenes.Config(rho=rho, train_size=500, validation_size=200, test_size=10)
        card = scenes.card(config)
        splits = {split: scenes.load(config, split) for split in background_gap.SPLITS}
        encode = pixel_features(card.mean, card.std)
        gaps.append(background_gap.evaluate(encode, splits, background_gap.Config())["background_gap/1"])
    assert gaps[1] > gaps[0] + 25


def test_data_without_the_variants_are_refused_in_one_line(tmp_path):
    study = write_study(tmp_path, with_changes({"run.evaluation.background_gap": {}}))
    with pytest.raises(UserError) as refused:
        load_study(study)
    (line,) = str(refused.value).split("\n")
    assert (
        "run.evaluation.background_gap: reads validation/mixed_same, validation/mixed_rand, which run.dataset" in line
    )
