"""What the command line changes in a file, and how it is refused."""

import pytest

from orchestrator.study.study_file import load_study
from tests.orchestrator.studies import with_changes, write_study
from tests.orchestrator.study.test_bad_input import refusal


def test_set_changes_fields_sections_and_searches(tmp_path):
    study = load_study(
        write_study(tmp_path, with_changes()),
        ["run.training.epochs=5", "run.optimizer.momentum=0.5", "search.optimizer.lr={log_uniform: [0.1, 1.0]}"],
        trials=7,
    )
    assert (study.run.training.epochs, study.run.dump()["optimizer"]["momentum"], study.sweep.trials) == (5, 0.5, 7)
    assert [dimension.path for dimension in study.space.dimensions] == ["addons.msr.base_weight", "optimizer.lr"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("run.training.epoch=1", "--set run.training.epoch = 1: unknown key; did you mean epochs?"),
        ("rum.seed=1", "--set rum.seed=1: must be path=value with a path from the root of the file"),
        ("run.seed", "--set run.seed: must be path=value"),
        ("run.seed={", "--set run.seed={: line 1"),
        ("run.training.epochs.last=1", "there is nothing below 3; set it as a whole"),
        (
            "search.optimizer.lrr={uniform: [0.1, 0.2]}",
            "--set search.optimizer.lrr = uniform [0.1, 0.2]: names no field of run",
        ),
        (
            "run.addons.msr.base_weight=0.1",
            "is searched, so every trial has its own; set search.addons.msr.base_weight",
        ),
    ],
)
def test_set_is_refused_in_one_line_that_names_the_command_line(tmp_path, change, expected):
    message = refusal(write_study(tmp_path, with_changes()), change)
    assert message.startswith("--set ")
    assert expected in message
    assert "\n" not in message


def test_set_is_refused_inside_a_section_that_is_searched_as_a_whole(tmp_path):
    section = {"choice": [{"name": "simclr"}, {"name": "byol"}]}
    file = write_study(tmp_path, with_changes(search={"method": section}))
    law = "method is searched, so every trial has its own; set search.method instead"
    assert refusal(file, "run.method.temperature=0.5") == f"--set run.method.temperature: {law}"
