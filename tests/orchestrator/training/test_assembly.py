import sys
import types

import pytest
import torch

from augment.config import Config
from augment.ops import color_jitter, grayscale
from methods.contract import Losses
from orchestrator.core.errors import UserError
from orchestrator.metrics import knn
from orchestrator.probing.features import encoder_features, labels_of, pixel_features
from orchestrator.study.checks import check_run
from orchestrator.training import assembly, planning
from orchestrator.training.assembly import baselines
from orchestrator.training.baselines import PIXELS, UNTRAINED, calibrated
from tests.orchestrator.tiny_run import RUN, tiny_run


def test_data_are_the_splits_of_a_training_and_no_test_split():
    data = assembly.load_data(tiny_run())
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 72, "bank": 72, "validation": 40}
    assert data.card.num_classes == 4


def test_bank_that_is_the_training_images_is_held_once():
    data = assembly.load_data(tiny_run())
    assert data.splits["bank"] is data.splits["train"]
    assert data.nbytes == data.splits["train"].nbytes + data.splits["validation"].nbytes


def test_data_are_only_the_splits_that_the_evaluations_read():
    assert planning.splits(tiny_run(evaluation={"collapse": {}, "view_retrieval": {}})) == ["train", "validation"]
    assert planning.splits(tiny_run(evaluation={"collapse": {}, "knn": {}})) == ["train", "validation", "bank"]
    assert set(assembly.load_data(tiny_run(evaluation={"collapse": {}})).splits) == {"train", "validation"}


def test_initial_weights_depend_on_the_seed_alone():
    first, again, other = (assembly.objective(tiny_run(seed=seed)).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_addons_do_not_move_the_initial_weights():
    plain, layered = (assembly.objective(tiny_run(addons=addons)).state_dict() for addons in ({}, {"msr": {}}))
    assert plain.keys() == layered.keys()
    assert all(torch.equal(plain[name], layered[name]) for name in plain)


def test_addons_rewrite_the_plan():
    assert set(assembly.objective(tiny_run(addons={})).plan.views) == {"first", "second"}
    assert len(assembly.objective(tiny_run()).plan.views) == 4


def test_strength_scales_the_ops_that_can_be_scaled():
    steps = planning.recipes(tiny_run(augment={"strength": 0.5}))
    assert [step.name for step in steps["weak"]] == ["crop", "flip"]
    jitter, gray = steps["aggressive"]
    assert jitter.config == color_jitter.Config(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.05)
    assert gray.config == grayscale.Config(p=0.1)
    assert steps["weak"][1].config.p == 0.5


def test_missing_recipe_is_named():
    run = tiny_run(augment={"recipes": {"weak": RUN["augment"]["recipes"]["weak"]}})
    with pytest.raises(UserError, match=r"run\.augment\.recipes do not fit .*'aggressive'"):
        planning.pipeline(run, assembly.objective(run).plan, assembly.load_data(run).card)


@pytest.fixture
def user_addon(monkeypatch):
    """A module `mylab.<name>` as a user would bring it."""

    def plant(**contents) -> str:
        module = types.ModuleType("mylab.addon")
        module.Config = type("Config", (Config,), {})
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, "mylab", types.ModuleType("mylab"))
        monkeypatch.setitem(sys.modules, "mylab.addon", module)
        return "mylab.addon"

    return plant


def test_addon_that_does_not_fit_is_refused_by_name(user_addon):
    def rewrite(plan, config):
        raise ValueError("no pair has labels")

    name = user_addon(rewrite=rewrite)
    with pytest.raises(UserError, match=r"run\.addons\.mylab\.addon does not fit .*byol: no pair has labels"):
        assembly.objective(tiny_run(addons={name: {}}))


def test_addon_loss_joins_the_objective_and_the_optimizer(user_addon):
    class Loss(torch.nn.Module):
        views = ("first",)

        def __init__(self, config, num_features, plan):
            super().__init__()
            self.head = torch.nn.Linear(num_features, 1)

        def forward(self, views, online, target):
            return Losses(self.head(online["first"].features).square().mean())

    name = user_addon(rewrite=lambda plan, config: plan, Loss=Loss)
    run = tiny_run(addons={name: {}})
    objective = assembly.objective(run)
    trained = {id(p) for group in assembly.optimizer(run, objective).param_groups for p in group["params"]}
    (loss,) = objective.addon_losses.values()
    assert {id(parameter) for parameter in loss.parameters()} <= trained


def test_heads_of_augself_are_drawn_by_seed_and_name_alone():
    plain, one, more = (
        assembly.objective(tiny_run(addons=addons)).state_dict()
        for addons in ({}, {"augself": {"hidden": 8}}, {"augself": {"hidden": 8, "flip": 0.5}})
    )
    assert plain.keys() < one.keys() < more.keys()
    assert all(torch.equal(one[name], more[name]) for name in one)
    assert all(torch.equal(plain[name], one[name]) for name in plain)


def test_op_to_be_predicted_that_no_recipe_has_is_a_mistake_of_the_file():
    (mistake,) = check_run(tiny_run(addons={"msr": {}, "augself": {"blur": 0.5}}))
    assert "run.addons.augself does not fit run.method.name = byol: addons.augself.blur > 0 needs blur" in str(mistake)
    assert not check_run(tiny_run(addons={"augself": {}, "msr": {}}))


def test_evaluation_without_timing_is_refused(user_addon):
    name = user_addon(evaluate=lambda *_: {})
    with pytest.raises(UserError, match=r"must extend orchestrator\.metrics\.Timing"):
        planning.metrics(tiny_run(evaluation={name: {}}))


def test_baselines_are_the_untrained_encoder_and_the_pixels():
    run = tiny_run(evaluation={"knn": {}, "collapse": {}})
    data = assembly.load_data(run)
    found = baselines(run, data)
    assert found.keys() == {UNTRAINED, PIXELS}
    assert all(scores.keys() == {"val_knn/1", "val_knn/1_se", "feature_std", "rankme"} for scores in found.values())
    assert baselines(run, data) == found

    encoder = assembly.objective(run).encoder
    for name, encode in (
        (
            UNTRAINED,
            encoder_features(
                calibrated(encoder, data.splits["train"].images, data.card.mean, data.card.std),
                data.card.mean,
                data.card.std,
            ),
        ),
        (PIXELS, pixel_features(data.card.mean, data.card.std)),
    ):
        bank, queries = data.splits["bank"], data.splits["validation"]
        accuracy = knn.knn_accuracy(
            encode(bank.images), labels_of(bank), encode(queries.images), labels_of(queries), k=1, temperature=0.1
        )
        assert found[name]["val_knn/1"] == pytest.approx(100 * accuracy)
