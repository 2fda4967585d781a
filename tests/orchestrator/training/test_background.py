"""Background augmentations from the YAML file to the reports of a training."""

import io

import numpy as np
import pytest
import torch

from orchestrator.core.errors import UserError
from orchestrator.study.study_file import load_study
from orchestrator.sweep.dry_run import dry_run
from orchestrator.training import assembly
from orchestrator.training.loop import Training
from tests.orchestrator.studies import with_changes, write_study
from tests.orchestrator.tiny_run import Surroundings, timeless, tiny_run

SWAP = {"kind": "swap", "p_query": 0.5, "p_key": 0.4, "p_negative": 0.6}
SIMCLR = {"name": "simclr", "projector_hidden": 16, "projector_outputs": 8}


DATA = {"name": "synthetic", "size": 16, "train_size": 36, "validation_size": 20}  # two steps an epoch


def run_of(addons=None, **settings):
    addons = addons if addons is not None else {"background": {**SWAP, **settings}}
    training = {"checkpoint_steps": 1}
    return tiny_run(dataset=DATA, method=SIMCLR, addons=addons, training=training, evaluation={"collapse": {}})


def trained(run, **surroundings):
    context = Surroundings(**surroundings)
    assembly.train(run, assembly.load_data(run), context)
    return context


def begun(run) -> Training:
    return assembly.training(run, assembly.load_data(run), torch.device("cpu"))


def first_loss(run) -> float:
    training = begun(run)
    training.train_step(torch.arange(16), 1)
    return training.state_dict()["part_sums"][0].item()


@pytest.fixture(scope="module")
def whole() -> Surroundings:
    return trained(run_of())


def test_resume_with_backgrounds_is_bitwise_the_run_never_stopped(whole):
    resumed = trained(run_of(), saved=whole.states[1])
    assert timeless(resumed.reports) == timeless(whole.reports)
    states = [torch.load(io.BytesIO(context.states[4]), weights_only=True)["objective"] for context in (whole, resumed)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_images_left_alone_are_reported(whole):
    assert all(0 <= report["background/left_alone"] < 0.5 for report in whole.reports)


def test_order_of_addons_changes_no_number():
    losses = [
        first_loss(run_of(addons)) for addons in ({"msr": {}, "background": SWAP}, {"background": SWAP, "msr": {}})
    ]
    assert losses[0] == losses[1] != first_loss(run_of({"msr": {}}))


def test_unused_masks_cost_nothing():
    batch = begun(run_of({})).images.batch(torch.arange(4))
    assert (batch.masks, batch.backgrounds, batch.bank) == (None, None, None)


def test_separation_of_the_file_is_that_of_the_training():
    made = [
        begun(run_of(separation=settings)).images.batch(torch.arange(4)).bank
        for settings in ({}, {"noise": "dilate", "noise_amount": 0.1}, {"holes": "diffuse"})
    ]
    assert not torch.equal(made[0].masks, made[1].masks)
    assert torch.equal(made[0].masks, made[2].masks)
    assert not torch.equal(made[0].backgrounds, made[2].backgrounds)


def test_view_grid_shows_the_backgrounds():
    still = {"weak": {"flip": {"p": 0.0}}, "aggressive": {"grayscale": {"p": 0.0}}}
    black = {"kind": "remove", "colour": "black", "p_query": 1.0, "p_key": 0.0, "p_negative": 0.0}
    run = tiny_run(augment={"recipes": still}, addons={"background": black})
    data = assembly.load_data(run)
    sheet = np.asarray(assembly.views_picture(run, data)).astype(int)
    first = sheet[22 : 22 + 96, 6 + 102 : 6 + 102 + 96]  # of the second column
    outside = data.splits["train"].masks[0].repeat(6, axis=0).repeat(6, axis=1) == 0
    assert first[outside].max() <= 1
    assert sheet[22 : 22 + 96, 6 : 6 + 96][outside].max() > 50


def refusal(tmp_path, **changes) -> str:
    with pytest.raises(UserError) as caught:
        load_study(write_study(tmp_path, with_changes(changes, search={})), ["sweep.trials=1"])
    return str(caught.value)


@pytest.mark.parametrize("kind", ["swap", "remove"])
def test_negatives_over_byol_are_refused_in_the_file(tmp_path, kind):
    addons = {"background": {"kind": kind}}
    message = refusal(tmp_path, **{"run.method": {"name": "byol"}, "run.addons": addons})
    assert "run.addons.background does not fit run.method.name = byol: background's matched negatives need" in message
    assert "set addons.background.p_negative to 0" in message


def test_data_without_masks_are_refused_in_the_file(tmp_path):
    changes = {"run.dataset": {"name": "cifar10"}, "run.addons": {"background": {}}}
    message = refusal(tmp_path, **changes)
    assert "run.dataset.name = cifar10: must have masks" in message
    assert "drop run.addons.background" in message


def test_op_may_stand_in_a_recipe_of_the_users():
    ops = {"crop": {}, "flip": {}, "background": {"p": 0.5}}
    runs = [
        tiny_run(dataset=DATA, method=SIMCLR, addons={}, augment={"recipes": {"weak": weak, "aggressive": {}}})
        for weak in (ops, {name: ops[name] for name in ("crop", "flip")})
    ]
    assert first_loss(runs[0]) != first_loss(runs[1])


def test_dry_run_tells_of_backgrounds_and_negatives(tmp_path):
    search = {
        "addons.background.p_query": {"uniform": [0.0, 0.5]},
        "addons.background.separation.noise_amount": {"uniform": [0.0, 0.3]},
    }
    text = dry_run(load_study(write_study(tmp_path, with_changes({"run.addons": {"background": SWAP}}, search=search))))
    assert "view first: crop, flip, background, color_jitter, grayscale, from the image" in text
    assert "view first_negative: foreground, color_jitter, grayscale, from first after background/first" in text
    assert "pair first -> second (online), weight 0.5, contrasted with first_negative" in text
    assert "addons.background.separation.noise_amount" in text
