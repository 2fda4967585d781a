from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.utils._python_dispatch import TorchDispatchMode

from augment import draws
from methods.parts import norm
from methods.parts.gather import average, gather, part, world_size
from tests.ranks import on_ranks

ROWS, CHANNELS = 12, 5
LAYERS: dict[str, tuple[type[nn.Module], dict[str, Any], tuple[int, ...]]] = {
    "rows": (nn.BatchNorm1d, {}, ()),
    "rows without weights": (nn.BatchNorm1d, {"affine": False}, ()),
    "sequences": (nn.BatchNorm1d, {"momentum": 0.3}, (7,)),
    "maps": (nn.BatchNorm2d, {"eps": 1e-2}, (4, 3)),
    "maps, running means of all": (nn.BatchNorm2d, {"momentum": None}, (4, 3)),
    "maps, nothing running": (nn.BatchNorm2d, {"track_running_stats": False}, (4, 3)),
}
OF_ROWS = ("given", "gradient", "evaluated")


def drawn(name: str, shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> Tensor:
    """Rows that every rank knows, channels last in memory as in the loop."""
    rows = draws.normal(0, name, (ROWS, CHANNELS, *shape)).to(dtype)
    return rows.contiguous(memory_format=torch.channels_last) if rows.ndim == 4 else rows


def layer(name: str) -> nn.Module:
    kind, settings, _ = LAYERS[name]
    made = kind(CHANNELS, **settings).double()
    for name, weight in made.named_parameters():
        weight.data = draws.normal(1, name, weight.shape).double()
    return made


def passed(module: nn.Module, shape: tuple[int, ...]) -> dict[str, Tensor]:
    """What two steps leave, of the rows of all ranks."""
    rows = part(drawn("rows", shape)).clone().requires_grad_()
    module(rows + 3)
    given = module(rows)
    (given * part(drawn("meaning", shape))).sum().backward()
    assert rows.grad is not None
    found = {"given": given.detach(), "gradient": rows.grad, "evaluated": module.eval()(rows).detach()}
    weights = {
        f"gradient of {name}": average(w.grad) * world_size()
        for name, w in module.named_parameters()
        if w.grad is not None
    }
    return {name: gather(value) for name, value in found.items()} | weights | module.state_dict()


def converted() -> dict[str, dict[str, Tensor]]:
    """The same of every layer, after its conversion."""
    found = {}
    for name, (_, _, shape) in LAYERS.items():
        module = layer(name)
        norm.convert(module)
        found[name] = passed(module, shape)
    return found


@pytest.mark.parametrize("count", [1, 2, 3])
def test_statistics_and_gradients_are_those_of_the_whole_batch(count, tmp_path):
    found = [converted()] if count == 1 else on_ranks(count, tmp_path / "ranks", converted)
    for name, (_, settings, shape) in LAYERS.items():
        expected = passed(layer(name), shape)
        if not settings.get("track_running_stats", True):
            del expected["evaluated"]  # by the rows at hand, in eval mode too: there no rank waits for others
        for one in found:
            for key, value in expected.items():
                torch.testing.assert_close(one[name][key], value, rtol=1e-9, atol=1e-9, msg=f"{name}: {key}")


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 2e-2)])
def test_low_precision_and_a_large_mean_cost_no_more_than_in_torch(dtype, tolerance, affine):
    found = []
    for convert in (False, True):
        module = nn.BatchNorm2d(CHANNELS, affine=affine)
        if convert:
            norm.convert(module)
        rows = (drawn("rows", (4, 3), dtype) + 100).requires_grad_()
        given = module(rows)
        assert given.dtype == dtype
        (given * drawn("meaning", (4, 3), dtype)).sum().backward()
        found.append([given.detach(), rows.grad, *(weight.grad for weight in module.parameters()), module.running_var])
    torch.testing.assert_close(found[1], found[0], rtol=tolerance, atol=tolerance)


class _SavedStatistics(TorchDispatchMode):
    """Collects the saved mean and deviation that each batch-norm's backward kernel receives."""

    def __init__(self):
        super().__init__()
        self.received = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.native_batch_norm_backward.default:
            self.received.append(args[5:7])
        return func(*args, **(kwargs or {}))


def test_the_backward_kernel_receives_saved_statistics_since_cudas_asserts_that_they_are_defined():
    module = layer("maps")
    norm.convert(module)
    rows = drawn("rows", (4, 3)).requires_grad_()
    with _SavedStatistics() as saved:
        module(rows).sum().backward()
    ((mean, deviation),) = saved.received
    dims = [0, *range(2, rows.ndim)]
    torch.testing.assert_close(mean, rows.detach().mean(dims))
    torch.testing.assert_close(deviation, (rows.detach().var(dims, correction=0) + module.eps).rsqrt())


def test_conversion_keeps_weights_names_kinds_and_places():
    module = nn.Sequential(nn.Linear(CHANNELS, CHANNELS), nn.BatchNorm1d(CHANNELS), nn.ReLU())
    before = [*module.parameters()], list(module.state_dict()), module[1]
    norm.convert(module)
    assert all(one is other for one, other in zip(module.parameters(), before[0], strict=True))
    assert (list(module.state_dict()), module[1]) == before[1:]
    assert isinstance(module[1], nn.BatchNorm1d)
    with pytest.raises(ValueError, match="2D or 3D"):
        module[1](drawn("rows", (4, 3)))


def test_a_norm_of_timm_keeps_its_activation():
    from timm.layers import BatchNormAct2d  # not above, for ranks import this file

    ours, theirs = (BatchNormAct2d(CHANNELS, act_layer=nn.SiLU, inplace=False).double() for _ in range(2))
    norm.convert(ours)
    found, expected = passed(ours, (4, 3)), passed(theirs, (4, 3))
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-9, atol=1e-9, msg=key)


def beside_torchs() -> dict[str, Tensor]:
    """Ours and torch's own norm across ranks, on the GPU that all ranks share."""
    ours, theirs = (layer("maps").cuda() for _ in range(2))
    norm.convert(ours)
    theirs = nn.SyncBatchNorm.convert_sync_batchnorm(theirs, distributed.group.WORLD)
    found = {}
    for name, module in (("ours", ours), ("theirs", theirs)):
        rows = part(drawn("rows", (4, 3))).cuda().requires_grad_()
        given = module(rows)
        (given * part(drawn("meaning", (4, 3))).cuda()).sum().backward()
        gradients = [weight.grad for weight in module.parameters()]
        tensors = [given, rows.grad, *gradients, module.running_mean, module.running_var]
        found[name] = torch.cat([tensor.detach().flatten().cpu() for tensor in tensors])
    return found


@pytest.mark.gpu
def test_across_ranks_of_a_gpu_it_is_torchs_synchronised_norm(tmp_path):
    for one in on_ranks(2, tmp_path / "ranks", beside_torchs):
        torch.testing.assert_close(one["ours"], one["theirs"], rtol=1e-9, atol=1e-9)
