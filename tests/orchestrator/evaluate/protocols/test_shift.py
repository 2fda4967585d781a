from importlib import import_module

import pytest

from orchestrator.evaluate.protocols.shift import Config, measure
from orchestrator.probing.classifiers import FITTED
from orchestrator.probing.data import EvaluationData
from tests.orchestrator.datasets import imagenet_miniatures
from tests.orchestrator.datasets.imagenet_miniatures import CLASSES
from tests.orchestrator.evaluate.protocols.encoders import Constant, headed, keeping, mean_colour, pixels, shapes


def data_of(name, encoder, folder, *, leave_out=()):
    settings = imagenet_miniatures.write(name, folder)
    config = import_module(f"orchestrator.datasets.{name}").Config(
        **{key: value for key, value in settings.items() if key not in leave_out}
    )
    return EvaluationData(name, config, encoder, folder)


def by_name(scores):
    return {(score.split, score.metric): score for score in scores}


def test_own_head_chooses_among_the_classes_of_the_set(tmp_path):
    # It likes class 5 best, which neither the set nor its originals show, and class 207 second.
    encoder = headed(Constant(1000, 5, 207))
    found = by_name(measure(encoder, data_of("imagenet_a", encoder, tmp_path, leave_out=["imagenet_train"]), Config()))
    assert set(found) == {(f"test/{name}", "accuracy") for name in ("original", "imagenet_a")} | {
        ("test/imagenet_a", "drop")
    }
    assert found["test/imagenet_a", "accuracy"].value == pytest.approx(100 / 3)
    assert found["test/original", "accuracy"].value == pytest.approx(100 / 3)  # of the set's classes alone
    assert found["test/imagenet_a", "accuracy"].note == "its own head, among 3 of 1000 classes"


@pytest.mark.parametrize("name", ["imagenet_v2", "imagenet_sketch"])
def test_own_head_chooses_among_all_classes_where_the_set_has_all(tmp_path, name):
    encoder = headed(Constant(1000, 5, 999))
    scores = measure(encoder, data_of(name, encoder, tmp_path, leave_out=["imagenet_train", "imagenet_val"]), Config())
    assert [(score.split, score.value, score.note) for score in scores] == [(f"test/{name}", 0.0, "its own head")]


@pytest.mark.parametrize(("liked", "hits"), [(5, 1), (1, 5), (0, 2), (600, 0)])
def test_any_label_that_is_right_counts(tmp_path, liked, hits):
    encoder = headed(Constant(1000, liked))
    found = by_name(measure(encoder, data_of("imagenet_real", encoder, tmp_path), Config()))
    score = found["test/imagenet_real", "accuracy"]
    assert score.count == 9  # of ten photographs one has no right label
    assert score.value == pytest.approx(100 * hits / 9)
    assert found["test/original", "accuracy"].count == 10
    assert found["test/original", "accuracy"].value == (20 if liked in CLASSES else 0)


@pytest.mark.parametrize(("liked", "accuracy"), [((5, 0), 50), ((5, 2), 50), ((5, 5), 50)])
def test_any_class_of_an_object_counts_and_no_class_but_those(tmp_path, liked, accuracy):
    # Class 0 is that of the alarm clock; 2 and 5 are those of the bicycle.
    encoder = headed(Constant(1000, 600, *liked))
    scores = measure(encoder, data_of("objectnet", encoder, tmp_path, leave_out=["imagenet_val"]), Config())
    assert [(score.value, score.count) for score in scores] == [(accuracy, 4)]
    assert scores[0].note.endswith("among 3 of 1000 classes")


def test_probe_is_fitted_where_the_encoder_has_no_head(tmp_path):
    encoder = keeping(mean_colour)
    found = measure(encoder, data_of("imagenet_r", encoder, tmp_path), Config())
    assert found[0].note == f"{FITTED}, among 3 of 1000 classes"
    with pytest.raises(ValueError, match="no training images to fit a classifier on"):
        measure(encoder, data_of("imagenet_r", encoder, tmp_path, leave_out=["imagenet_train"]), Config())


@pytest.mark.parametrize(
    ("reference", "shifted", "drop"), [(None, "imagenet_v2", 200 / 3), ("imagenet_v2", "original", -200 / 3)]
)
def test_drop_is_what_a_variant_costs_against_the_reference(tmp_path, reference, shifted, drop):
    # Of the originals, only those of class 999 are of the set's classes; of the set, a third is.
    encoder = headed(Constant(1000, 999))
    found = by_name(measure(encoder, data_of("imagenet_v2", encoder, tmp_path), Config(reference=reference)))
    assert len(found) == 3
    score = found[f"test/{shifted}", "drop"]
    assert score.value == pytest.approx(drop)
    assert score.error == pytest.approx(100 * (2 / 9 / 6) ** 0.5)  # a share of 1 has none
    assert score.note == f"test/{reference or 'original'} minus test/{shifted}; its own head"


def test_invalid_requests_are_refused(tmp_path):
    encoder = keeping(pixels)
    with pytest.raises(ValueError, match="no test variant but the original"):
        measure(encoder, shapes(encoder, tmp_path), Config())
    encoder = headed(Constant(9, 5))
    data = data_of("imagenet_a", encoder, tmp_path)
    with pytest.raises(ValueError, match="reference must be one of original, imagenet_a, got 'clean'"):
        measure(encoder, data, Config(reference="clean"))
    with pytest.raises(ValueError, match="head has 9 logits"):
        measure(encoder, data, Config())
