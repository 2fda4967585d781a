"""The contract of every optimizer: it trains, resumes bit for bit, and does not import torch's compiler."""

import copy
import io

import pytest
import torch
from torch import nn

from augment.config import Config
from orchestrator.config.run import OptimizerSettings
from orchestrator.core.errors import UserError
from orchestrator.core.registry import find, names
from orchestrator.training import groups
from tests.orchestrator.tiny_run import tiny_run
from tests.orchestrator.training.optimizers import built

NAMES = names("orchestrator.training.optimizers")


def trained(optimizer: torch.optim.Optimizer, weights: list[nn.Parameter], steps: range) -> None:
    for step in steps:
        groups.set_rate(optimizer, 0.1, 1 / (step + 1))
        for place, weight in enumerate(weights):
            weight.grad = torch.full_like(weight, (-1.0) ** step * (1 + place))
        optimizer.step()


def weights() -> list[nn.Parameter]:
    return [nn.Parameter(torch.tensor([[1.0, -2.0], [0.3, 0.1]])), nn.Parameter(torch.tensor([0.5, -0.5]))]


def test_folder_holds_the_known_ones():
    assert set(NAMES) >= {"adamw", "lars", "sgd"}


@pytest.mark.parametrize("name", NAMES)
class TestEveryOptimizer:
    def test_config_says_what_the_schedule_needs(self, name):
        config = find("orchestrator.training.optimizers", name).Config()
        assert isinstance(config, Config)
        assert isinstance(config, OptimizerSettings)
        assert config.name == name
        assert tiny_run(optimizer={"name": name}).optimizer.lr == 0.4

    def test_resumes_to_the_same_bits(self, name):
        config = find("orchestrator.training.optimizers", name).Config(lr=0.1)
        whole, split = weights(), weights()
        trained(built(config, [{"params": whole}]), whole, range(4))
        first = built(config, [{"params": split}])
        trained(first, split, range(2))
        saved = io.BytesIO()
        torch.save(copy.deepcopy(first.state_dict()), saved)
        resumed = built(config, [{"params": split}])
        groups.load(resumed, torch.load(io.BytesIO(saved.getvalue()), weights_only=True))
        trained(resumed, split, range(2, 4))
        assert all(torch.equal(one, other) for one, other in zip(whole, split, strict=True))
        assert not torch.equal(whole[0], weights()[0])

    def test_has_no_wrappers_that_import_torchs_compiler(self, name):
        made = built(find("orchestrator.training.optimizers", name).Config(), [{"params": weights()}])
        for method in ("add_param_group", "load_state_dict", "state_dict", "zero_grad"):
            assert not hasattr(getattr(type(made), method), "__wrapped__")


def test_unknown_optimizer_is_refused_with_the_nearest_name():
    with pytest.raises(UserError, match=r"run\.optimizer\.name = adam: .* has no adam; did you mean adamw\?"):
        tiny_run(optimizer={"name": "adam"})
