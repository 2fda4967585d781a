import pytest
import torch

from orchestrator.data.images import ImageSet
from orchestrator.evaluate.protocols import corruptions
from orchestrator.evaluate.protocols.corruptions import Config, measure
from orchestrator.probing.corruptions import CORRUPTIONS
from tests.orchestrator.evaluate.protocols.encoders import coarse, keeping, mean_colour, shapes


def by_metric(scores):
    return {score.metric: score for score in scores}


def test_corruptions_score_each_of_the_fifteen_and_their_mean(tmp_path):
    encoder = keeping(coarse)
    first, second = (measure(encoder, shapes(encoder, tmp_path), Config(levels=(1, 5), images=40)) for _ in range(2))
    assert first == second
    found = by_metric(first)
    assert list(found) == ["clean", "corrupted", "drop", *CORRUPTIONS]
    values = [found[name].value for name in CORRUPTIONS]
    assert found["corrupted"].value == pytest.approx(sum(values) / 15)
    assert found["drop"].value == pytest.approx(found["clean"].value - found["corrupted"].value)
    assert all(score.count == 40 and score.split == "test/original" for score in found.values())
    assert "levels 1,5" in found["fog"].note
    assert "32 px" in found["fog"].note


def test_corruptions_cost_an_encoder_what_it_looks_at(tmp_path, monkeypatch):
    # The class is how bright the image is: what keeps the mean costs nothing, what moves it costs the answer.
    encoder = keeping(lambda images: mean_colour(images).mean(1, keepdim=True))
    data = shapes(encoder, tmp_path)
    for split in ("bank", "test/original"):
        images = data.images(split).images
        brightness = torch.from_numpy(images).float().mean(dim=(1, 2, 3))
        labels = (brightness > brightness.median()).long().numpy()
        monkeypatch.setattr(data, "images", remembering(data.images, split, ImageSet(images, labels)))
    found = by_metric(measure(encoder, data, Config(levels=(3,), images=200)))
    assert found["clean"].value > 90
    for kept in ("gaussian_noise", "defocus_blur", "contrast", "pixelate", "jpeg_compression"):
        assert found[kept].value > 85, kept
    for lost in ("brightness", "snow"):
        assert found[lost].value < 75, lost


def remembering(load, split, images):
    return lambda asked: images if asked == split else load(asked)


def test_error_counts_an_image_once_however_often_it_is_tried():
    always, never = torch.ones(75, 50, dtype=torch.bool), torch.zeros(75, 50, dtype=torch.bool)
    score = corruptions._score("test", "x", corruptions._shares(torch.cat((always, never), dim=1)), "")
    assert score.value == 50
    assert score.error == pytest.approx(5)  # as 100 images give, and not 7500


def test_corruptions_refuse_a_level_that_there_is_not():
    with pytest.raises(ValueError, match="less than or equal to 5"):
        Config(levels=(6,))
