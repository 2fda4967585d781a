import pytest
import torch

from orchestrator.data.images import ImageSet
from orchestrator.evaluate.protocols.augmentation_knowledge import Config, measure
from tests.orchestrator.evaluate.protocols.encoders import coarse, keeping, mean_colour, shapes


def known(keeps, folder, **settings):
    encoder = keeping(keeps)
    return {score.metric: score for score in measure(encoder, shapes(encoder, folder, **settings), Config(pairs=300))}


SETTINGS = {"validation_size": 300, "test_size": 300}


def test_mean_colour_knows_the_colour_jitter_and_not_the_flip(tmp_path):
    found = known(mean_colour, tmp_path, **SETTINGS)
    brightness, *_ = (part.split() for part in found["color_jitter_r2"].note.split(","))
    assert brightness[0] == "brightness"
    assert float(brightness[1]) > 0.6
    assert 40 < found["flip_accuracy"].value < 60
    assert found["blur_r2"].value < 0.1
    dim = known(lambda images: 1e-4 * mean_colour(images), tmp_path / "dim", **SETTINGS)
    assert dim["color_jitter_r2"].value == pytest.approx(found["color_jitter_r2"].value, abs=0.01)


def test_pixels_know_the_flip_and_blur(tmp_path):
    found = known(coarse, tmp_path, **SETTINGS)
    assert found["flip_accuracy"].value > 95
    sharp = known(
        lambda images: images.diff(dim=3).abs().mean(dim=(1, 2, 3)).log()[:, None], tmp_path / "b", **SETTINGS
    )
    assert sharp["blur_r2"].value > 0.5
    assert sharp["color_jitter_r2"].value < 0.4


def test_an_invariant_encoder_knows_nothing(tmp_path):
    # Symmetrised over the flip, it cannot tell one.
    found = known(lambda images: coarse(images + images.flip(3)), tmp_path, **SETTINGS)
    assert 35 < found["flip_accuracy"].value < 65
    nothing = known(lambda images: images.flatten(1)[:, :4] * 0, tmp_path / "nothing", **SETTINGS)
    for op in ("crop", "color_jitter", "blur"):
        assert nothing[f"{op}_r2"].value == pytest.approx(0, abs=0.05)
    assert nothing["crop_mse"].value > 0.01


def test_where_the_crop_lies_is_known_to_who_sees_where_things_lie(tmp_path):
    ramp = torch.linspace(0, 255, 16).byte()
    image = torch.stack((ramp.expand(16, 16), ramp[:, None].expand(16, 16), ramp.expand(16, 16)), dim=-1)
    images = ImageSet(image.expand(200, -1, -1, -1).contiguous().numpy())
    encoder = keeping(lambda images: torch.cat((images.mean(dim=(2, 3)), images.std(dim=(2, 3))), dim=1))
    data = shapes(encoder, tmp_path)
    data.images = lambda split: images
    found = {score.metric: score for score in measure(encoder, data, Config(pairs=200))}
    assert found["crop_r2"].value > 0.95
    assert found["crop_mse"].value < 0.005


def test_unlabelled_images_do(tmp_path):
    encoder = keeping(mean_colour)
    data = shapes(encoder, tmp_path)
    load = data.images
    data.images = lambda split: ImageSet(load(split).images)
    assert measure(encoder, data, Config(pairs=20))
