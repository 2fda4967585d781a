"""A run that needs labels is refused before anything starts if its data has none, or others."""

from dataclasses import replace

import pytest

from orchestrator.data.images import DatasetCard
from orchestrator.datasets import synthetic
from orchestrator.study.checks import check_run
from tests.orchestrator.tiny_run import tiny_run


def mistakes(monkeypatch: pytest.MonkeyPatch, **card_fields) -> list[str]:
    """Of a supervised run of three classes on data with such a card."""
    run = tiny_run(
        method={"name": "supervised", "num_classes": 3},
        addons={},
        evaluation={"collapse": {}},
        dataset={"num_classes": 3},
    )
    real = synthetic.card

    def card(config: synthetic.Config) -> DatasetCard:
        return replace(real(config), **card_fields)

    monkeypatch.setattr(synthetic, "card", card)
    return [str(mistake) for mistake in check_run(run)]


def test_supervised_takes_data_of_its_classes(monkeypatch):
    assert mistakes(monkeypatch) == []


def test_number_of_classes_must_be_the_datas(monkeypatch):
    expected = (
        "run.method.num_classes = 3: num_classes = 4 must hold, the number of classes of run.dataset.name = synthetic"
    )
    assert mistakes(monkeypatch, num_classes=4) == [expected]


@pytest.mark.parametrize("card_fields", [{"unlabelled": ("train",)}, {"num_classes": None}])
def test_supervised_refuses_data_without_labels(monkeypatch, card_fields):
    (message,) = mistakes(monkeypatch, **card_fields)
    assert message.startswith("run.method.name = supervised: needs labels, and run.dataset.name = synthetic")
