import numpy as np
import pytest
import torch

from augment import draws
from orchestrator.datasets import fashion_scenes, imagenet9
from orchestrator.evaluating.data import EvaluationData
from orchestrator.images import ImageSet
from orchestrator.protocols.background_challenge import Config, measure, pastes, withstood
from tests.orchestrator.datasets import imagenet_miniatures
from tests.orchestrator.protocols.encoders import Constant, headed, keeping, mean_colour, pixels, shapes


def scenes(encoder, folder, **settings):
    sizes = {"train_size": 200, "validation_size": 20, "test_size": 60, "rho": 1.0} | settings
    return EvaluationData("scenes", fashion_scenes.Config(**sizes), encoder, folder)


def nine(encoder, folder, *, with_train=True):
    settings = imagenet_miniatures.write("imagenet9", folder)
    if not with_train:
        del settings["train_root"]
    return EvaluationData("nine", imagenet9.Config(**settings), encoder, folder)


def by_name(scores):
    return {(score.split.removeprefix("test/"), score.metric): score for score in scores}


@pytest.mark.parametrize(("liked", "accuracy"), [((151, 281), 100 / 9), ((281, 151), 0.0)])
def test_own_head_chooses_among_all_classes_and_one_of_no_coarse_class_is_wrong(tmp_path, liked, accuracy):
    # 151 is a dog; 281, a domestic cat, is none of the nine.
    encoder = headed(Constant(1000, *liked))
    found = by_name(measure(encoder, nine(encoder, tmp_path, with_train=False), Config()))
    assert len(found) == len(imagenet9.VARIANTS) + 2
    for variant in imagenet9.VARIANTS:
        assert found[variant, "accuracy"].value == pytest.approx(accuracy)
        assert found[variant, "accuracy"].note.startswith("lower") == (variant in ("only_bg_b", "only_bg_t"))
    assert found["original", "adversarial_backgrounds"].value == pytest.approx(accuracy)
    assert (
        "each of 18 foregrounds on each of 18 backgrounds; its own head"
        in found["original", "adversarial_backgrounds"].note
    )


def test_own_head_of_the_nine_classes_is_taken_as_it_is(tmp_path):
    encoder = headed(Constant(9, 8), imagenet9.LABEL_SPACE)
    found = by_name(measure(encoder, nine(encoder, tmp_path, with_train=False), Config(backgrounds=2)))
    assert found["mixed_rand", "accuracy"].value == pytest.approx(100 / 9)


def test_probes_tell_what_labels_tie_to_backgrounds(tmp_path):
    # At rho = 1 the background of a training image says its class; on `bank` it says nothing.
    def border(images):
        edges = torch.cat((images[..., :3], images[..., -3:]), dim=-1).flatten(2)
        return torch.cat((edges.mean(dim=2), edges.std(dim=2)), dim=1)

    encoder = keeping(border, 32)
    found = by_name(measure(encoder, scenes(encoder, tmp_path), Config(foregrounds=20, backgrounds=10)))
    assert found["test", "bg_gap_biased"].value > 15 + max(0, found["test", "bg_gap"].value)
    assert found["only_bg_t", "accuracy_biased"].value > 15 + found["only_bg_t", "accuracy"].value
    adversarial = found["original", "adversarial_backgrounds_biased"]
    assert adversarial.count == 20
    assert adversarial.note.startswith("each of 20 foregrounds on each of 10 backgrounds; fitted on train")
    assert adversarial.value < found["mixed_rand", "accuracy_biased"].value + 1


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


def test_encoder_without_a_head_is_refused_where_there_is_nothing_to_fit_one_on(tmp_path):
    encoder = keeping(pixels)
    with pytest.raises(ValueError, match="nothing to fit a classifier on, and the encoder has no head"):
        measure(encoder, nine(encoder, tmp_path, with_train=False), Config())


def test_head_of_another_size_is_refused(tmp_path):
    encoder = headed(Constant(21843, 5))
    with pytest.raises(ValueError, match="head has 21843 logits, and imagenet1k 1000 classes"):
        measure(encoder, nine(encoder, tmp_path, with_train=False), Config())
