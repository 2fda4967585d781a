"""Every mistake of a file: one clear line."""

from pathlib import Path

import pytest

from orchestrator.core.errors import UserError
from orchestrator.storage.path import parse
from orchestrator.study.checks import check_storage
from orchestrator.study.study_file import load_study
from tests.orchestrator.studies import with_changes, write_study


def refusal(path: Path, *sets: str, trials: int | None = None) -> str:
    with pytest.raises(UserError) as caught:
        load_study(path, sets, trials=trials)
    return str(caught.value)


def test_study_loads_and_is_named_after_its_file(tmp_path):
    study = load_study(write_study(tmp_path, with_changes()))
    assert (study.sweep.name, study.sweep.trials, study.run.training.epochs) == ("study", 3, 3)


OPEN_TO_NOTHING = (
    "sweep.sampler",
    "sweep.scheduler",
    "run.dataset",
    "run.augment",
    "run.augment.recipes.weak.crop",
    "run.addons.msr",
    "run.encoder",
    "run.training",
    "run.evaluation.knn",
)


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("swep", {}, "swep = {}: unknown key; did you mean sweep?"),
        ("search", [], "search = []: must be a mapping"),
        ("sweep.trails", 3, "sweep.trails = 3: unknown key; did you mean trials?"),
        ("sweep.trials", 0, "sweep.trials = 0: trials >= 1 must hold"),
        (
            "sweep.sampler",
            {"name": "tpee"},
            "sweep.sampler.name = tpee: orchestrator.search.samplers has no tpee; did you mean tpe?",
        ),
        ("sweep.scheduler", {"grac": 0.5}, "sweep.scheduler.grac = 0.5: unknown key; did you mean grace?"),
        (
            "sweep.metric",
            "val_knn",
            "sweep.metric = val_knn: no evaluation of this run makes it; did you mean val_knn/1?",
        ),
        (
            "sweep.metric",
            "linear_val/1",
            "sweep.metric = linear_val/1: is measured as linear_val/2 now, and their values do not compare; write "
            "linear_val/2, with --fresh if its sweep was begun with the old metric",
        ),
        ("sweep.metric", "linear_val/2", "run.evaluation.linear.every = null: every = 1 must hold"),
        ("sweep.metric", "loss", "sweep.mode = max: mode = min must hold with the metric loss"),
        ("sweep.workers", 3, "run.training.batch_size = 16: must be a multiple of 3 (sweep.workers)"),
        (
            "sweep",
            {"trials": 3, "metric": "val_knn/1", "workers": 2, "gpus_per_worker": 0.5},
            "sweep.gpus_per_worker = 0.5: must be 0, 1 or more",
        ),
        ("sweep.name", "a/b", "sweep.name = a/b: names a folder: use letters"),
        ("sweep.name", "a" * 300, "...: has 300 characters; use at most 220, since it names a folder"),
        ("run.sede", 1, "run.sede = 1: unknown key; did you mean seed?"),
        ("run.method.name", "simcrl", "run.method.name = simcrl: methods has no simcrl; did you mean simclr?"),
        ("run.method.name", None, "run.method.name: the name of a component must be given"),
        ("run.method.temprature", 1.0, "run.method.temprature = 1.0: unknown key; did you mean temperature?"),
        ("run.method.temperature", -0.1, "run.method.temperature = -0.1: temperature > 0 must hold"),
        ("run.method.temperature", "0.1", "run.method.temperature = 0.1: must be a number; write 0.1 without quotes"),
        ("run.method.temperature", "warm", "run.method.temperature = warm: must be a number"),
        ("run.method.temperature", float("nan"), "run.method.temperature = NaN: must be finite"),
        ("run.method.projector_hidden", 8.5, "run.method.projector_hidden = 8.5: must be an integer"),
        ("run.method.projector_hidden", 10**11, "projector_hidden <= 16384 must hold"),
        ("run.dataset.name", "sinthetic", "orchestrator.datasets has no sinthetic; did you mean synthetic?"),
        ("run.dataset", "synthetic", "run.dataset = synthetic: must be a mapping (key: value)"),
        ("run.addons", {"mrs": {}}, "run.addons.mrs: methods.addons has no mrs; did you mean msr?"),
        ("run.addons.msr", None, "run.addons.msr = null: must be a mapping (key: value)"),
        (
            "run.addons.msr.schedule",
            "cosin",
            "run.addons.msr.schedule = cosin: must be constant, linear, cosine, step or",
        ),
        (
            "run.evaluation",
            {"knnn": {}},
            "run.evaluation.knnn: orchestrator.metrics has no knnn; did you mean knn?",
        ),
        (
            "run.augment.recipes.weak.crp",
            {},
            "run.augment.recipes.weak.crp: augment.ops has no crp; did you mean crop?",
        ),
        (
            "run.augment.recipes.weak.crop",
            {"scale": [0.9, 0.2]},
            "run.augment.recipes.weak.crop.scale = [0.9, 0.2]: low <=",
        ),
        ("run.augment.recipes", {"weak": {"crop": {}}}, "must name a known recipe, got 'aggressive'"),
        ("run.augment.recipes.aggressive.flip", {}, "must apply an op once, got ['flip'] twice"),
        ("run.augment.strength", 3.0, "run.augment.strength = 3.0: strength <= 2.5 must hold"),
        (
            "run.encoder.stem",
            "cifer",
            "run.encoder.stem = cifer: must be cifar, strided or imagenet; did you mean cifar?",
        ),
        ("run.encoder.name", "restnet", "methods.encoders has no restnet; did you mean resnet?"),
        ("run.encoder", {"name": "vit", "image_size": 30}, "image_size must be a multiple of patch, got image_size=30"),
        (
            "run.encoder",
            {"name": "vit", "patch": 5, "image_size": 15},
            "run.encoder = vit: cannot encode the run's images of 16 x 16 pixels: height and width of images must be",
        ),
        ("search.encoder.depth", {"choice": [8, 9]}, "search.encoder.depth = 9: must be 8, 18, 34 or 50"),
        ("run.optimizer.lrr", 0.1, "run.optimizer.lrr = 0.1: unknown key; did you mean lr?"),
        (
            "run.optimizer.warmup_epochs",
            3.0,
            "run.optimizer.warmup_epochs = 3: must be less than the whole budget, run.training.epochs = 3",
        ),
        ("run.training.epochs", -3, "run.training.epochs = -3: epochs >= 1 must hold"),
        (
            "run.training.batch_size",
            65,
            "run.training.batch_size = 65: exceeds the 64 training images; use at most 64",
        ),
        (
            "search.evaluation.knn.every",
            {"int": [1, 3]},
            "search.evaluation.knn.every = 3: every = 1 must hold, since sweep.metric = val_knn/1",
        ),
        (
            "search.evaluation",
            {"choice": [{"linear": {}}, {"knn": {"every": 1}}]},
            'search.evaluation = {"linear": {}}: sweep.metric = val_knn/1: no evaluation of this run makes it',
        ),
        (
            "search.training.epochs",
            {"int": [2, 9]},
            "search.training.epochs = 2 or 9: epochs = 3 must hold, the budget of which asha takes its rungs",
        ),
        ("search", {}, "sweep.trials = 3: trials = 1 must hold where search is empty"),
        *((f"{section}.zzz", 1, f"{section}.zzz = 1: unknown key") for section in OPEN_TO_NOTHING),
    ],
)
def test_file_is_refused_in_one_line(tmp_path, path, value, expected):
    section, _, dimension = path.partition(".")
    searched = {dimension: value} if section == "search" and dimension else None
    file = write_study(tmp_path, with_changes({} if searched else {path: value}, search=searched))
    message = refusal(file)
    assert message.startswith(f"{file}: ")
    assert expected in message
    assert len(message.split("\n")) == 1


def test_every_mistake_in_a_file_is_reported(tmp_path):
    changes = {"sweep.trials": 0, "run.training.epochs": 0, "run.optimizer.lr": 0, "run.addons.mrs": {}}
    assert len(refusal(write_study(tmp_path, with_changes(changes))).split("\n")) == 4


def test_missing_section_is_reported(tmp_path):
    study = with_changes()
    del study["run"]["training"], study["sweep"]["metric"]
    assert refusal(write_study(tmp_path, study)).split("study.yaml: ")[1:] == [
        f"sweep.metric: must be given\n{tmp_path}/",
        "run.training: must be given",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sweep: {trials: 3\nrun: {}\n", ": line 2, column 4: "),
        (
            "sweep:\n  trials: 3\n  trials: 4\n",
            ": line 3, column 3: the key trials is repeated, first in line 2; remove one",
        ),
        ("sweep:\n\ttrials: 3\n", ": line 2, column 1: "),
        ("run: {1: on}\n", ": line 1, column 7: the key 1 must be a string; quote it"),
        (
            "run: !!python/object:os.system {}\n",
            ": line 1, column 6: the tag !!python/object:os.system is not supported; remove it",
        ),
        ("a: &a {b: *a}\n", ": line 1, column 11: the alias *a lies inside what it stands for"),
        ("", ": must hold the sections sweep, run and search, but holds null"),
        ("- 1\n", "but holds [1]"),
    ],
)
def test_yaml_mistake_is_reported_with_its_line(tmp_path, text, expected):
    file = tmp_path / "study.yaml"
    file.write_text(text)
    message = refusal(file)
    assert message.startswith(f"{file}: ")
    assert expected in message
    assert "\n" not in message


def test_unreadable_file_is_reported(tmp_path):
    file = write_study(tmp_path, with_changes())
    assert refusal(tmp_path / "studi.yaml") == f"{tmp_path}/studi.yaml: no such file; did you mean {file}?"
    assert "cannot be read (Is a directory)" in refusal(tmp_path)
    file.write_bytes(b"\xff\xfe")
    assert "not UTF-8 text" in refusal(file)


def test_budget_can_be_searched_where_nothing_stops_trials(tmp_path):
    search = {"training.epochs": {"int": [2, 9]}}
    study = load_study(write_study(tmp_path, with_changes({"sweep.scheduler": {"name": "none"}}, search=search)))
    assert [dimension.path for dimension in study.space.dimensions] == ["training.epochs"]


def test_trial_of_a_study_is_a_complete_file_that_runs_alone(tmp_path):
    study = load_study(write_study(tmp_path, with_changes()))
    alone = study.trial(2, {"addons.msr.base_weight": 0.25})
    again = load_study(write_study(tmp_path, alone))
    assert (again.sweep.name, again.sweep.trials, again.search) == ("study-0002", 1, {})
    assert again.run.dump() == {
        **study.run.dump(),
        "addons": {"msr": {**study.run.dump()["addons"]["msr"], "base_weight": 0.25}},
    }
    assert again.dump() == alone


def test_storage_must_be_a_folder_that_can_be_written(tmp_path):
    check_storage(parse(tmp_path / "new" / "deeper"), "study")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    for storage, name in ((tmp_path / "file" / "sweeps", "study"), (tmp_path, "file")):
        with pytest.raises(UserError, match=rf"--storage {storage}: .*/file is a file; name another folder"):
            check_storage(parse(storage), name)
    # Even root may not write into the kernel's own file system.
    with pytest.raises(UserError, match=r"--storage /proc/sweeps: /proc must be writable \("):
        check_storage(parse("/proc/sweeps"), "study")


def test_line_breaks_and_control_characters_of_a_file_are_escaped(tmp_path):
    changes = {"run.method.name": "sim\nclr\u2028"}
    assert (
        "run.method.name = sim\\nclr\\u2028: " in refusal(write_study(tmp_path, with_changes(changes))).split("\n")[0]
    )


def test_key_of_thousands_of_characters_is_shown_without_its_middle(tmp_path):
    with pytest.raises(UserError) as raised:
        load_study(write_study(tmp_path, with_changes({f"run.encoder.wid{'9' * 5000}th": 1})))
    (line,) = str(raised.value).split("\n")
    assert len(line) < 600
    assert "run.encoder.wid999" in line
    assert "99th = 1: unknown key" in line
