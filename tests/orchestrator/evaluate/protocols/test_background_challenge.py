from dataclasses import replace

import numpy as np
import pytest
import torch

from augment import draws
from orchestrator.data.images import ImageSet
from orchestrator.datasets import imagenet9
from orchestrator.evaluate.protocols.background_challenge import Config, measure, pastes, withstood
from orchestrator.probing.data import EvaluationData
from tests.orchestrator.datasets import imagenet_miniatures
from tests.orchestrator.evaluate.protocols.encoders import Constant, headed, keeping, mean_colour, pixels, shapes


def scenes(encoder, folder, monkeypatch):
    """A small object of no particular look before the colour of a class: its own, or one that is drawn, or the next."""
    data = shapes(encoder, folder)
    variants = ("original", "mixed_same", "mixed_rand", "only_bg_t")
    monkeypatch.setattr(data, "card", replace(data.card, variants=variants, bank_is_train=False))

    def images(split):
        labels = np.arange(40) % 4
        drawn = draws.permutation(0, 0, 40).numpy() % 4
        behind = {"bank": drawn, "test/mixed_rand": (labels + 1) % 4}.get(split, labels)
        colours = np.array([(200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 0)], np.uint8)[behind]
        pixels, masks = np.tile(colours[:, None, None], (1, 8, 8, 1)), np.zeros((40, 8, 8), np.uint8)
        masks[:, 3:5, 3:5] = 255
        pixels[masks > 0] = 128
        return ImageSet(pixels, labels, masks)

    monkeypatch.setattr(data, "images", images)
    return data


@pytest.fixture(scope="module")
def nine(tmp_path_factory):
    """ImageNet-9's test alone, decoded once."""
    settings = imagenet_miniatures.write("imagenet9", tmp_path_factory.mktemp("nine"))
    del settings["train_root"]
    config = imagenet9.Config(**settings)
    return lambda encoder, folder: EvaluationData("nine", config, encoder, folder)


def by_name(scores):
    return {(score.split.removeprefix("test/"), score.metric): score for score in scores}


@pytest.mark.parametrize(("liked", "accuracy"), [((151, 281), 100 / 9), ((281, 151), 0.0)])
def test_own_head_chooses_among_all_classes_and_one_of_no_coarse_class_is_wrong(nine, tmp_path, liked, accuracy):
    # 151 is a dog; 281, a domestic cat, is none of the nine.
    encoder = headed(Constant(1000, *liked))
    found = by_name(measure(encoder, nine(encoder, tmp_path), Config()))
    assert len(found) == len(imagenet9.VARIANTS) + 2
    for variant in imagenet9.VARIANTS:
        assert found[variant, "accuracy"].value == pytest.approx(accuracy)
        assert found[variant, "accuracy"].note.startswith("lower") == (variant in ("only_bg_b", "only_bg_t"))
    assert found["original", "adversarial_backgrounds"].value == pytest.approx(accuracy)
    assert (
        "each of 18 foregrounds on each of 9 backgrounds; its own head"
        in found["original", "adversarial_backgrounds"].note
    )


def test_own_head_of_the_nine_classes_is_taken_as_it_is(nine, tmp_path):
    encoder = headed(Constant(9, 8), imagenet9.LABEL_SPACE)
    found = by_name(measure(encoder, nine(encoder, tmp_path), Config(backgrounds=2)))
    assert found["mixed_rand", "accuracy"].value == pytest.approx(100 / 9)


def test_probes_tell_what_labels_tie_to_backgrounds(tmp_path, monkeypatch):
    # The background of a training image says its class; on `bank` it says nothing, and there is nothing else to see.
    encoder = keeping(lambda images: images[:, :, :2].mean(dim=(2, 3)), 8)
    found = by_name(measure(encoder, scenes(encoder, tmp_path, monkeypatch), Config(foregrounds=20, backgrounds=30)))
    biased = {place: score.value for place, score in found.items() if score.metric.endswith("_biased")}
    assert biased == {
        ("original", "accuracy_biased"): 100,
        ("mixed_same", "accuracy_biased"): 100,
        ("mixed_rand", "accuracy_biased"): 0,
        ("only_bg_t", "accuracy_biased"): 100,
        ("test", "bg_gap_biased"): 100,
        ("original", "adversarial_backgrounds_biased"): 0,
    }
    assert found["mixed_same", "accuracy"].value < 60
    adversarial = found["original", "adversarial_backgrounds_biased"]
    assert adversarial.count == 20
    assert adversarial.note.startswith(
        "each of 20 foregrounds on each of 30 backgrounds; fitted on train, standardised"
    )
    assert found["original", "adversarial_backgrounds"].note.startswith(
        "each of 20 foregrounds on each of 30 backgrounds; fitted on bank"
    )


def test_withstanding_is_what_trying_every_paste_finds():
    shape = (30, 8, 8)
    objects, behind = (np.uint8(draws.uniform(0, name, (*shape, 3)).numpy() * 256) for name in ("objects", "behind"))
    masks = np.uint8(draws.uniform(0, "masks", shape).numpy() ** 0.2 * 256)
    labels = np.arange(30) % 3
    weight = draws.normal(0, "weight", (3, 8 * 8 * 3)) + 2 * torch.eye(3).repeat(1, 64)
    classes = lambda features: (features @ weight.T).argmax(dim=1)  # noqa: E731
    foregrounds = ImageSet(objects, labels, masks)
    for row in range(30):  # some whose own colour says the class, so that they stand more pastes than others
        objects[row, ..., labels[row]] |= 128 + 64 * (row % 2)
    expected = []
    for row in range(30):
        right = True
        for other in range(len(behind)):
            share = masks[row, :, :, None] / 255
            paste = np.rint(objects[row] * share + behind[other] * (1 - share)).astype(np.uint8)
            features = torch.from_numpy(paste).permute(2, 0, 1).flatten()[None] / 255
            right = right and int(classes(features)) == labels[row]
        expected.append(right)
    found = withstood(keeping(pixels, 8), classes, foregrounds, behind)
    assert 3 < sum(expected) < 27
    assert found.tolist() == expected


@pytest.mark.parametrize(("num_objects", "num_backgrounds"), [(600, 40), (70, 33)])
def test_every_object_is_pasted_on_every_background(num_objects, num_backgrounds):
    # An object falls on one background alone, that of its own number, if there is one.
    objects, behind = (np.zeros((count, 2, 2, 3), np.uint8) for count in (num_objects, num_backgrounds))
    masks = np.zeros(objects.shape[:3], np.uint8)
    masks[:, 0] = 255
    for images, row in ((objects, 0), (behind, 1)):
        number = np.arange(len(images))
        images[:, row, 0, 0], images[:, row, 0, 1] = number % 256, number // 256
    foregrounds = ImageSet(objects, np.zeros(num_objects, np.int64), masks)

    def classes(features):
        red, green = features.view(-1, 3, 2, 2)[:, :2, :, 0].unbind(1)
        return (red[:, 0] == red[:, 1]).logical_and(green[:, 0] == green[:, 1]).long()

    stood = withstood(keeping(pixels, 2), classes, foregrounds, behind)
    assert stood.tolist() == [False] * num_backgrounds + [True] * (num_objects - num_backgrounds)


def test_paste_shows_the_object_in_its_mask_and_the_background_around_it():
    objects, behind = torch.full((1, 2, 2, 3), 200, dtype=torch.uint8), torch.full((2, 2, 2, 3), 100, dtype=torch.uint8)
    masks = torch.tensor([[[255, 0], [128, 0]]], dtype=torch.uint8)
    assert pastes(objects, masks, behind)[0, 1, ..., 0].tolist() == [[200, 100], [150, 100]]


def test_foregrounds_that_have_fallen_are_pasted_no_more():
    pasted = []
    encoder = keeping(lambda images: pasted.append(len(images)) or mean_colour(images), 4)
    images = np.zeros((100, 4, 4, 3), np.uint8)
    foregrounds = ImageSet(images, np.arange(100) % 2, np.full(images.shape[:3], 255, np.uint8))
    stood = withstood(encoder, lambda features: torch.zeros(len(features), dtype=torch.int64), foregrounds, images)
    assert stood.tolist() == [True, False] * 50
    assert sum(pasted) < 0.6 * 100 * 100


def test_data_without_backgrounds_to_swap_are_refused(tmp_path):
    encoder = keeping(pixels)
    with pytest.raises(ValueError, match="its test has no variant mixed_rand, mixed_same, only_bg_t"):
        measure(encoder, shapes(encoder, tmp_path), Config())


def test_encoder_without_a_head_is_refused_where_there_is_nothing_to_fit_one_on(nine, tmp_path):
    encoder = keeping(pixels)
    with pytest.raises(ValueError, match="no training images to fit a classifier on, and the encoder has no head"):
        measure(encoder, nine(encoder, tmp_path), Config())


def test_head_of_another_size_is_refused(nine, tmp_path):
    encoder = headed(Constant(21843, 5))
    with pytest.raises(ValueError, match="head has 21843 logits, and imagenet1k 1000 classes"):
        measure(encoder, nine(encoder, tmp_path), Config())


def test_foregrounds_without_masks_are_refused(nine, tmp_path, monkeypatch):
    encoder = headed(Constant(1000, 5))
    data = nine(encoder, tmp_path)
    whole = data.images
    monkeypatch.setattr(data, "images", lambda split: replace(whole(split), masks=None))
    with pytest.raises(ValueError, match="test/original has no foreground masks"):
        measure(encoder, data, Config())
