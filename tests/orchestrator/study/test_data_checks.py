"""What a run needs and its data lack is reported with the file's other mistakes, before anything starts."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.errors import UserError
from orchestrator.datasets import cifar10
from orchestrator.study.study_file import load_study
from orchestrator.tracking.mlflow.terms import run_tags
from tests.orchestrator.datasets.own_files import write, write_folder
from tests.orchestrator.studies import with_changes, write_study
from tests.orchestrator.tiny_run import tiny_run


def own_images(folder: Path, **settings: Any) -> dict[str, Any]:
    return {
        "name": "image_folder",
        "root": str(folder / "images"),
        "cache": str(folder / "cache"),
        "size": 16,
    } | settings


def refusal(folder: Path, changes: dict[str, Any], **study: Any) -> str:
    with pytest.raises(UserError) as caught:
        load_study(write_study(folder, with_changes(changes, **study)))
    return str(caught.value).replace(f"{folder / 'study.yaml'}: ", "")


def test_evaluation_of_labels_is_refused_where_there_are_none(tmp_path):
    write_folder(tmp_path / "images", {"": 30})
    law = "needs labels, and run.dataset.name = image_folder as set up here has none; drop it, and use view_retrieval"
    mistakes = refusal(tmp_path, {"run.dataset": own_images(tmp_path)}).split("\n")
    assert [line.split(": ")[0] for line in mistakes] == ["run.evaluation.knn", "run.evaluation.linear"]
    assert all(law in line for line in mistakes)


def test_evaluation_of_a_split_is_refused_where_it_is_not(tmp_path):
    message = refusal(tmp_path, {"run.evaluation.background_gap": {}})
    assert message == (
        "run.evaluation.background_gap: reads validation/mixed_same, validation/mixed_rand, which run.dataset.name = "
        "synthetic does not have; drop it"
    )


def test_batch_must_fit_into_what_is_left_to_train_on(tmp_path):
    write_folder(tmp_path / "images", {"a": 10, "b": 10})
    changes = {"run.dataset": own_images(tmp_path, validation_share=0.3), "run.training.batch_size": 15}
    assert refusal(tmp_path, changes) == (
        "run.training.batch_size = 15: exceeds the 14 training images; use at most 14"
    )


WRONG_OTHERWISE: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "search": ({}, {"addons.msr.base_wieght": {"uniform": [0.0, 0.5]}}, "search.addons.msr.base_wieght = uniform"),
    "sweep": ({"sweep.metric": "val_knn"}, {"optimizer.lr": {"uniform": [0.1, 0.2]}}, "sweep.metric = val_knn: "),
    "run": ({"run.augment.recipes": {"weak": {}}}, {}, "run.augment.recipes do not fit run.method.name = simclr: "),
}


@pytest.mark.parametrize("section", WRONG_OTHERWISE)
def test_other_mistakes_are_reported_before_images_are_decoded(tmp_path, section):
    root = write_folder(tmp_path / "images", {"a": 3, "b": 3})
    write(root / "a/torn.png", b"torn")  # would be reported if the images were decoded
    changes, search, expected = WRONG_OTHERWISE[section]
    message = refusal(tmp_path, {"run.dataset": own_images(tmp_path), **changes}, search=search)
    assert message.startswith(expected)
    assert "torn.png" not in message
    assert not (tmp_path / "cache").exists()


def test_published_data_are_not_fetched_for_a_run_that_they_do_not_fit(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar10, "verify", None)
    message = refusal(tmp_path, {"run.dataset": {"name": "cifar10"}, "run.training.batch_size": 50_000})
    assert message.startswith("run.training.batch_size = 50000: exceeds the 45000 training images")


def test_unusable_images_are_reported_once(tmp_path):
    write_folder(tmp_path / "images", {"train/a": 3, "train/b": 3, "extra/a": 1})
    message = refusal(tmp_path, {"run.dataset": own_images(tmp_path)})
    assert message.startswith(
        f"{tmp_path}/images: cannot tell the splits: train/a names train, and extra/a no split; set run.dataset."
    )
    assert "\n" not in message


def test_unavailable_published_data_are_reported(tmp_path):
    message = refusal(tmp_path, {"run.dataset": {"name": "cifar10", "root": str(tmp_path), "download": False}})
    assert message.startswith(
        f"CIFAR10 is not in {tmp_path}, and run.dataset.download is false: set it to true, or put cifar"
    )


def test_images_left_out_are_a_tag_of_the_run(tmp_path):
    root = write_folder(tmp_path / "images", {"a": 9, "b": 9})
    write(root / "a/torn.png", b"torn")
    run = {**tiny_run().dump(), "dataset": own_images(tmp_path, max_bad_share=0.1)}
    assert run_tags(run)["data_remarks"].startswith("1 unreadable image is left out: a/torn.png (no image in a format")
    assert "data_remarks" not in run_tags(tiny_run().dump())
