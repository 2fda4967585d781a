import copy
import pickle

import pytest
from pydantic import ValidationError

from augment.ops import crop, flip
from orchestrator.config import yaml_file
from orchestrator.config.mistakes import ConfigError
from orchestrator.config.paths import value_at
from orchestrator.config.run import identity, resolve, with_values
from orchestrator.config.sweep import read_sweep
from orchestrator.core.errors import UserError
from tests.orchestrator.studies import STUDY, with_changes

RUN = STUDY["run"]


def test_run_reads_each_section_by_its_own_config():
    run = resolve(RUN)
    assert type(run.method).__module__ == "methods.simclr"
    assert type(run.addons["msr"]).__module__ == "methods.addons.msr"
    assert {name: type(op) for name, op in run.augment.recipes["weak"].items()} == {
        "crop": crop.Config,
        "flip": flip.Config,
    }
    assert run.training.batch_size == 16


def test_run_dump_is_complete_and_read_back_unchanged_through_yaml():
    run = resolve(RUN)
    assert run.dump()["addons"]["msr"]["decay_rate"] == 3.0  # a default, written out
    assert resolve(yaml_file.parse(yaml_file.write(run.dump()))) == run


def test_both_readers_give_back_what_was_written():
    words = [
        "2020-01-01",
        "yes",
        "1e-3",
        "null",
        "0x1f",
        "08",
        "1e3",
        "0o7",
        "",
        " a: b #",
        "ünï\n\tline",
        "=",
        "<<",
        "word " * 50,
    ]
    tree = {"words": words, "numbers": [1, 1e-3, 1e300, float("inf"), -0.0, 2**64, True, None], "": {}, "empty": []}
    tree |= {word: {"nested": [[word, {word: [words]}]]} for word in words}
    text = yaml_file.write(tree)
    assert yaml_file.reread(text) == yaml_file.parse(text) == tree
    with pytest.raises(UserError, match="line 2, column 1"):
        yaml_file.reread("a: 1\n}")


def test_run_is_frozen_and_pickles():
    run = resolve(RUN)
    with pytest.raises(ValidationError, match="frozen"):
        run.seed = 3  # pyright: ignore[reportAttributeAccessIssue]
    assert pickle.loads(pickle.dumps(run)) == run


def test_resolve_tells_every_mistake_at_once():
    run = with_changes({"run.optimizer.lr": -1, "run.training.epoch": 3, "run.addons.mrs": {}, "run.seed": "a"})["run"]
    with pytest.raises(ConfigError) as caught:
        resolve(run)
    assert [mistake.path for mistake in caught.value.mistakes] == [
        "run.addons.mrs",
        "run.optimizer.lr",
        "run.training.epoch",
    ]


def test_identity_depends_on_every_field_and_on_the_order_of_ops():
    run = resolve(RUN)
    assert identity(run) == identity(resolve(run.dump()))
    assert identity(run) != identity(resolve(with_values(run.dump(), {"addons.msr.base_weight": 0.4})))
    turned = copy.deepcopy(RUN)
    turned["augment"]["recipes"]["weak"] = {"flip": {}, "crop": {}}
    assert identity(run) != identity(resolve(turned))


def test_identity_does_not_depend_on_the_order_of_sections_or_on_written_defaults():
    turned = dict(reversed(list(RUN.items()))) | {"seed": 0}
    assert identity(resolve(RUN)) == identity(resolve(turned))


def test_with_values_changes_a_copy_down_to_places_in_lists():
    run = resolve(RUN).dump()
    before = copy.deepcopy(run)
    changed = with_values(run, {"augment.recipes.weak.crop.scale.0": 0.5, "training.epochs": 9})
    assert (value_at(changed, "augment.recipes.weak.crop.scale"), changed["training"]["epochs"]) == ([0.5, 1.0], 9)
    assert run == before


def test_with_values_completes_a_whole_section_before_later_paths_go_into_it():
    changed = with_values(resolve(RUN).dump(), {"method": {"name": "byol"}, "method.momentum": 0.9})
    assert changed["method"]["momentum"] == 0.9
    assert resolve(changed).method.name == "byol"


def test_with_values_offers_the_nearest_path():
    with pytest.raises(ConfigError, match=r"optimizer\.lrr: names no field of run; did you mean optimizer\.lr\?"):
        with_values(resolve(RUN).dump(), {"optimizer.lrr": 1.0})


def test_with_values_finds_keys_that_hold_dots():
    assert with_values({"addons": {"mylab.addons.x": {"weight": 1}}}, {"addons.mylab.addons.x.weight": 2}) == {
        "addons": {"mylab.addons.x": {"weight": 2}}
    }


def test_sweep_fills_in_defaults_and_refuses_names_that_are_no_folder():
    assert read_sweep({"name": "s", "trials": 1, "metric": "loss"}).scheduler.name == "asha"
    with pytest.raises(ConfigError, match=r"sweep\.name = \.\./x"):
        read_sweep({"name": "../x", "trials": 1, "metric": "loss"})


def test_sweep_of_earlier_spelling_reads_as_todays():
    earlier = {
        "sampler": {"name": "tpe", "startup": 4},
        "scheduler": {"name": "none", "grace": 1 / 3, "reduction": 2},
    }
    sweep = read_sweep({"name": "s", "trials": 1, "metric": "loss", **earlier})
    assert sweep.dump()["sampler"] == {"name": "tpe", "n_startup_trials": 4}
    assert sweep.dump()["scheduler"] == {"name": "none"}
    assert read_sweep(sweep.dump()) == sweep
    random = read_sweep({"name": "s", "trials": 1, "metric": "loss", "sampler": {"name": "random", "startup": 10}})
    assert random.dump()["sampler"] == {"name": "random"}


def test_sweep_takes_a_sampler_and_a_scheduler_of_the_users_own(tmp_path, monkeypatch):
    source = "from augment.config import Config as Base\n\nclass Config(Base):\n    name: str\n    width: int = 3\n"
    (tmp_path / "mylab_search.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    own = {"sampler": {"name": "mylab_search.", "width": 4}}
    with pytest.raises(ConfigError, match=r"sweep\.sampler\.name = mylab_search"):
        read_sweep({"name": "s", "trials": 1, "metric": "loss", **own})
    (tmp_path / "mylab").mkdir()
    (tmp_path / "mylab" / "search.py").write_text(source)
    own = {"sampler": {"name": "mylab.search", "width": 4}, "scheduler": {"name": "mylab.search"}}
    sweep = read_sweep({"name": "s", "trials": 1, "metric": "loss", **own})
    assert sweep.dump()["sampler"] == {"name": "mylab.search", "width": 4}
