import pytest
import torch

from orchestrator.evaluate.protocols.invariance import Config, mean_cosine, measure, steps
from orchestrator.probing.features import unit
from tests.orchestrator.evaluate.protocols.encoders import keeping, pixels, shapes


def cosines(keeps, folder):
    encoder = keeping(keeps)
    return {
        score.metric: score for score in measure(encoder, shapes(encoder, folder, test_size=100), Config(images=100))
    }


def value_in_note(score, what):
    return float(score.note.split(f"{what} ")[1].split(",")[0])


def test_flip_invariant_encoder_is_invariant_to_the_flip_and_to_nothing_else(tmp_path):
    centred = cosines(lambda images: images + images.flip(3) - 1, tmp_path)
    assert value_in_note(centred["flip"], "cosine") == 1
    assert centred["flip"].value == pytest.approx(1 - value_in_note(centred["flip"], "images"), abs=1e-3)
    assert all(value_in_note(score, "cosine") < 0.999 for name, score in centred.items() if name != "flip")


def test_luma_is_invariant_to_grayscale(tmp_path):
    found = cosines(
        lambda images: torch.einsum("bchw,c->bhw", images, torch.tensor([0.2989, 0.587, 0.114])) - 0.5, tmp_path
    )
    assert value_in_note(found["grayscale"], "cosine") > 0.999
    assert found["rotate"].value < 0.6


def test_stronger_is_less_alike(tmp_path):
    found = cosines(lambda images: images - 0.5, tmp_path)
    assert list(found) == list(steps())
    for op in ("crop", "color_jitter", "blur", "solarize"):
        values = [found[f"{op}_{strength}"].value for strength in ("0.5", "1", "2")]
        assert values == sorted(values, reverse=True)
        assert values[0] > values[-1] + 1e-3
    assert found["rotate"].count < 100  # one in four turns is none, and is left out
    assert found["flip"].count == 100


def test_encoder_that_calls_all_images_alike_gains_nothing(tmp_path):
    found = cosines(lambda images: 1 + 0 * pixels(images), tmp_path)
    assert all(score.value == pytest.approx(0, abs=1e-6) for score in found.values())


def test_mean_cosine_is_that_of_all_pairs():
    features = unit(torch.tensor([[1.0, 2.0], [0.5, -1.0], [3.0, 0.2], [-1.0, -1.0]]))
    cosine = features @ features.T
    assert mean_cosine(features) == pytest.approx(float(cosine[~torch.eye(4, dtype=torch.bool)].mean()))
