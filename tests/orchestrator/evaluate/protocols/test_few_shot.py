"""Few-shot tasks: how they are drawn, and that each is solved as scikit-learn solves it."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from torch import nn

from augment import draws
from orchestrator.datasets import synthetic
from orchestrator.evaluate.protocols import few_shot
from orchestrator.evaluate.protocols.few_shot import Config, decision_values, draw_tasks, measure, task_accuracies
from orchestrator.probing.data import EvaluationData
from orchestrator.probing.frozen import FrozenEncoder

WAYS = 5


def clusters(num_classes, per_class, *, width=32, length=1.0):
    """Overlapping clusters, all of whose numbers are positive, as pooled features are: (features, labels)."""
    labels = torch.arange(num_classes * per_class) % num_classes
    noise = draws.normal(0, "noise", (len(labels), width))
    centres = draws.normal(0, "centres", (num_classes, width))
    return length * (noise + 0.5 * centres[labels]).relu(), labels


@pytest.mark.parametrize("shots", [1, 5])
@pytest.mark.parametrize("length", [0.1, 1.0, 20.0])
def test_every_decision_is_that_of_scikit_learn(shots, length):
    features, labels = clusters(8, 30, length=length)
    tasks = draw_tasks(labels, torch.arange(6), shots, Config(ways=WAYS))
    support, queries = tasks.support.flatten(1), tasks.queries.flatten(1)
    values = decision_values(features[support], features[queries], WAYS)
    accuracies = task_accuracies(features, tasks)
    for task in range(6):
        answers = np.repeat(np.arange(WAYS), shots)
        fitted = OneVsRestClassifier(LogisticRegression(solver="liblinear", C=1.0, tol=1e-12, max_iter=10_000)).fit(
            features[support[task]].double().numpy(), answers
        )
        images = features[queries[task]].double().numpy()
        np.testing.assert_allclose(values[task].T, fitted.decision_function(images), rtol=1e-5, atol=1e-5)
        predicted = fitted.predict(images)
        np.testing.assert_array_equal(values[task].argmax(dim=0), predicted)
        assert accuracies[task] == (predicted == np.repeat(np.arange(WAYS), 16)).mean()


def test_tasks_have_different_classes_and_different_images():
    _, labels = clusters(8, 30)
    tasks = draw_tasks(labels, torch.arange(200), 3, Config(ways=WAYS, queries=6))
    assert tasks.support.shape == (200, WAYS, 3)
    assert tasks.queries.shape == (200, WAYS, 6)
    for support, queries in zip(tasks.support, tasks.queries, strict=True):
        images = torch.cat((support, queries), dim=1)
        assert len(images.unique()) == images.numel()
        assert (labels[images] == labels[images][:, :1]).all()
        assert len(labels[images].unique()) == WAYS
    seen = torch.cat((tasks.support, tasks.queries), dim=2).flatten().bincount(minlength=len(labels)).double()
    # Binomial: each image has a chance of 5/8 * 9/30 in each task; six deviations are no chance.
    mean = 200 * 5 / 8 * 9 / 30
    assert (seen - mean).abs().max() < 6 * mean**0.5


def test_task_does_not_depend_on_what_is_drawn_beside_it():
    _, labels = clusters(8, 30)
    together = draw_tasks(labels, torch.arange(10), 1, Config())
    alone = draw_tasks(labels, torch.tensor([7]), 1, Config())
    assert torch.equal(together.support[7:8], alone.support)
    assert torch.equal(together.queries[7:8], alone.queries)
    assert not torch.equal(draw_tasks(labels, torch.arange(10), 1, Config(seed=1)).support, together.support)


def test_small_class_repeats_queries_and_a_smaller_one_is_left_out():
    labels = torch.tensor([0] * 20 + [1] * 4 + [2] * 3 + [3] * 20)  # class 2 has no image beside its three shots
    tasks = draw_tasks(labels, torch.arange(100), 3, Config(ways=3, queries=5))
    assert set(labels[tasks.support].flatten().tolist()) == {0, 1, 3}
    for support, queries in zip(tasks.support.flatten(0, 1), tasks.queries.flatten(0, 1), strict=True):
        assert len(support.unique()) == 3
        assert not set(support.tolist()) & set(queries.tolist())
        assert len(queries.unique()) == (1 if labels[support[0]] == 1 else 5)


def test_too_few_classes_are_refused():
    _, labels = clusters(4, 6)
    with pytest.raises(ValueError, match=r"5-way tasks need .* more than 1 images, and test/original has 4"):
        draw_tasks(labels, torch.arange(2), 1, Config())
    with pytest.raises(ValueError, match="more than 6 images, and test/original has 0"):
        draw_tasks(labels, torch.arange(2), 6, Config(ways=2))


def test_features_that_are_not_finite_are_refused():
    features, labels = clusters(5, 20)
    features[:, 3] = float("inf")
    with pytest.raises(ValueError, match="finite"):
        task_accuracies(features, draw_tasks(labels, torch.arange(2), 1, Config()))


@pytest.fixture
def data(tmp_path):
    encoder = FrozenEncoder("pixels", nn.Flatten(), size=16, mean=(0.5,) * 3, std=(0.25,) * 3)
    config = synthetic.Config(train_size=60, validation_size=40, test_size=300)
    return encoder, EvaluationData("tiny", config, encoder, tmp_path)


def test_scores_are_the_mean_over_all_tasks_and_its_error(data, monkeypatch):
    encoder, tiny = data
    config = Config(ways=3, tasks=70)
    scores = measure(encoder, tiny, config)
    features = tiny.features("test/original")
    assert [score.metric for score in scores] == ["1-shot", "5-shot"]
    for shots, score in zip((1, 5), scores, strict=True):
        tasks = draw_tasks(features.labels, torch.arange(70), shots, config)
        accuracy = 100 * task_accuracies(features.values, tasks).numpy()
        assert score.value == pytest.approx(accuracy.mean())
        assert score.error == pytest.approx(accuracy.std(ddof=1) / 70**0.5)
        assert f"±{1.96 * score.error:.2f}" in score.note
        assert score.count == 70
    monkeypatch.setattr(few_shot, "CHUNK", 33)
    assert measure(encoder, tiny, config) == scores


def test_no_such_split_is_refused(data, monkeypatch):
    encoder, tiny = data
    monkeypatch.setattr(few_shot, "SPLIT", "test/nonsense")
    with pytest.raises(ValueError, match="drawn from test/nonsense"):
        measure(encoder, tiny, Config())
