"""The contract of every module in `augment/ops`; new modules are tested automatically."""

import importlib
import inspect
import pkgutil
from dataclasses import replace
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import Tensor

import augment.ops
from augment.config import Config
from augment.views import Bank, Batch, Params, Target

NAMES = sorted(module.name for module in pkgutil.iter_modules(augment.ops.__path__))
ROWS, SIDE = 64, 24


def load(name: str) -> ModuleType:
    return importlib.import_module(f"augment.ops.{name}")


def numbers(slots: int, seed: int = 0) -> Tensor:
    return torch.rand(ROWS, slots, generator=torch.Generator().manual_seed(seed))


def scene() -> Batch:
    """Images whose red channel equals their mask, so that an op must move both alike."""
    generator = torch.Generator().manual_seed(1)
    masks = torch.rand(ROWS, 1, SIDE, SIDE, generator=generator)
    return Batch(
        torch.cat((masks, torch.rand(ROWS, 2, SIDE, SIDE, generator=generator)), dim=1),
        masks,
        backgrounds=torch.rand(ROWS, 3, SIDE, SIDE, generator=generator),
        rows=torch.arange(ROWS),
        bank=bank(),
    )


def bank() -> Bank:
    """A bank with as many images as the scene; the last one has no usable content."""
    generator = torch.Generator().manual_seed(2)
    images, masks, backgrounds = (
        torch.randint(0, 256, (ROWS, channels, SIDE, SIDE), generator=generator).to(torch.uint8)
        for channels in (3, 1, 3)
    )
    return Bank(images, masks, backgrounds, torch.arange(ROWS - 1), torch.arange(ROWS) % (ROWS - 1))


def head(batch: Batch, count: int) -> Batch:
    """The first images of a batch, with the whole bank."""
    names = ("images", "masks", "backgrounds", "rows")
    return replace(batch, **{name: getattr(batch, name)[:count] for name in names})


def needs(op, config) -> frozenset[str]:
    return op.needs(config) if hasattr(op, "needs") else frozenset()


def equal(first: Params, second: Params) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def check_op(op, name: str) -> None:
    """Raise an AssertionError that names the broken rule if a module is not a valid op."""
    check_signatures(op)
    config = op.Config()
    params = op.sample(config, (SIDE, SIDE), numbers(op.SLOTS))
    check_params(op, config, params)
    check_apply(op, params)
    check_needs(op, params, needs(op, config)) if needs(op, config) else check_masks(op, params)
    check_descriptions(op, name, config, params)
    check_traits(op, name, params)
    if hasattr(op, "scaled"):
        assert isinstance(op.scaled(config, 2.5), op.Config), "scaled returns the op's Config"
        assert op.scaled(config, 1.0) == config, "strength 1 leaves the settings unchanged"


def check_signatures(op) -> None:
    assert issubclass(op.Config, Config), "Config derives from augment.config.Config"
    assert isinstance(op.SLOTS, int), "SLOTS is a number"
    assert op.SLOTS > 0, "SLOTS is positive"
    assert 0 <= getattr(op, "SHARED", 0) < op.SLOTS, "SHARED lies in [0, SLOTS)"
    expected = {
        "sample": ["config", "shape", "uniforms"],
        "apply": ["batch", "params", "size"],
        "describe": ["params"],
        "compare": ["first", "second"],
    }
    for function, arguments in expected.items():
        assert list(inspect.signature(getattr(op, function)).parameters) == arguments, f"{function} takes {arguments}"


def check_params(op, config, params) -> None:
    assert all(value.shape[0] == ROWS for value in params.values()), (
        "the first dimension of every parameter is the batch"
    )
    assert equal(op.sample(config, (SIDE, SIDE), numbers(op.SLOTS)), params), "sample is a function of its arguments"
    half = op.sample(config, (SIDE, SIDE), numbers(op.SLOTS)[::2])
    assert equal(half, {key: value[::2] for key, value in params.items()}), (
        "a sample's parameters do not depend on other samples"
    )
    assert not equal(sample_or_nothing(op, config, numbers(op.SLOTS)[:, :-1]), params), "every slot of SLOTS is read"


def sample_or_nothing(op, config, uniforms: Tensor) -> Params:
    try:
        return op.sample(config, (SIDE, SIDE), uniforms)
    except (IndexError, RuntimeError):  # torch raises one of these for a missing column
        return {}


def check_apply(op, params) -> None:
    source = scene()
    kept = source.images.clone()
    view = op.apply(source, params, None)
    assert torch.equal(source.images, kept), "apply does not modify its input"
    assert view.images.shape == source.images.shape, "without a size the shape is unchanged"
    assert view.images.isfinite().all(), "images are finite"
    sized = op.apply(source, params, SIDE // 2).images.shape[-2:] == (SIDE // 2, SIDE // 2)
    assert sized == getattr(op, "RESIZES", False), "RESIZES states whether apply resizes a view"
    assert view.images.min() >= -1e-6, "images are at least 0"
    assert view.images.max() <= 1 + 1e-6, "images are at most 1"
    again = op.apply(source, {key: value.clone() for key, value in params.items()}, None)
    assert torch.equal(view.images, again.images), "equal parameters reproduce the view"
    first = op.apply(head(source, 4), {key: value[:4] for key, value in params.items()}, None)
    assert torch.allclose(first.images, view.images[:4], atol=1e-6), "an image's view does not depend on the batch"


def check_needs(op, params, wanted: frozenset[str]) -> None:
    assert wanted <= {"masks", "bank", "backgrounds"}, "needs are fields of a batch"
    for name in wanted:
        lacking = replace(scene(), **{name: None})
        assert name in refusal(lambda lacking=lacking: op.apply(lacking, params, None)), f"{name} is asked for by name"
    unwanted = {"masks", "bank", "backgrounds"} - wanted
    frugal = op.apply(replace(scene(), **dict.fromkeys(unwanted)), params, None)
    assert torch.equal(frugal.images, op.apply(scene(), params, None).images), (
        "fields that are not in needs do not affect the result"
    )


def check_traits(op, name: str, params) -> None:
    if hasattr(op, "TARGET_WIDTH"):
        target = op.compare({name: params}, {name: params})
        width = int(target.values.max()) + 1 if target.kind == "classes" else target.values.shape[1]
        assert width <= op.TARGET_WIDTH, "TARGET_WIDTH is the width of compare's target"
        assert target.kind == "classes" or width == op.TARGET_WIDTH, "TARGET_WIDTH is the width of compare's target"
    if getattr(op, "PHOTOMETRIC", False):
        assert not is_geometric(op, params), "PHOTOMETRIC ops do not move pixels"
    if getattr(op, "REORIENTS", False):
        assert is_geometric(op, params), "REORIENTS is for ops that move pixels"
    for settings in getattr(op, "PROBES", {}).values():
        assert isinstance(settings, op.Config), "PROBES are settings of the op"
        probed = op.describe(op.sample(settings, (SIDE, SIDE), numbers(op.SLOTS)))
        assert probed.any(dim=1).float().mean() > 0.6, "PROBES change nearly every image"


def refusal(work) -> str:
    try:
        work()
    except ValueError as error:
        return str(error)
    return ""


def check_masks(op, params) -> None:
    source = scene()
    view = op.apply(source, params, None)
    assert view.masks is not None, "masks are kept"
    expected = view.images[:, :1] if is_geometric(op, params) else source.masks
    assert torch.allclose(view.masks, expected, atol=1e-6), "masks move with the images, and only then"
    without = op.apply(Batch(source.images), params, None)
    assert without.masks is None, "apply does not create masks"
    assert torch.equal(without.images, view.images), "masks do not change the images"


def is_geometric(op, params) -> bool:
    """Whether the op moves pixels: it changes a ramp but no single-colour image (blur keeps the middle of a ramp)."""
    generator = torch.Generator().manual_seed(4)
    flat = torch.rand(ROWS, 3, 1, 1, generator=generator).expand(ROWS, 3, SIDE, SIDE)
    if (op.apply(Batch(flat), params, None).images - flat).abs().max() > 1e-5:
        return False
    across = torch.linspace(0.2, 0.8, SIDE).expand(SIDE, SIDE)
    ramp = torch.stack((across, across.T, across)).expand(ROWS, 3, SIDE, SIDE)
    change = (op.apply(Batch(ramp), params, None).images - ramp).abs()
    return bool(change[..., 7:-7, 7:-7].max() > 0.01)


def check_descriptions(op, name: str, config, params) -> None:
    described = op.describe(params)
    assert described.ndim == 2, "describe returns (B, d)"
    assert described.shape[0] == ROWS, "the first dimension of describe is the batch"
    assert described.abs().max() <= 1 + 1e-6, "descriptions lie in [-1, 1]"
    source = scene()
    changes = (op.apply(source, params, None).images - source.images).abs().amax((1, 2, 3))
    identity = (described == 0).all(1)
    if identity_config(op) is None:
        assert not identity.any(), "an op without an identity describes no view as one"
    assert (changes[identity] < 1e-5).all(), "a view described as 0 is the identity"
    assert (changes[~identity] > 1e-5).any(), "a view not described as 0 is not the identity"
    other = op.sample(config, (SIDE, SIDE), numbers(op.SLOTS, seed=3))
    target = op.compare({name: params}, {name: other})
    assert isinstance(target, Target), "compare returns a Target"
    same = op.compare({name: params}, {name: params}).values
    if target.kind == "classes":
        assert target.values.shape == (ROWS,), "classes are (B,)"
        assert target.values.dtype == torch.int64, "classes are integers"
        return
    assert target.values.ndim == 2, "values are (B, d)"
    assert target.values.shape[0] == ROWS, "the first dimension of values is the batch"
    assert target.values.abs().max() <= 1, "targets lie in [-1, 1]"
    assert (same == (1.0 if target.kind == "binary" else 0.0)).all(), "equal views have difference 0"


def test_ops_are_found():
    assert len(NAMES) >= 7


@pytest.mark.parametrize("name", NAMES)
def test_op_keeps_its_contract(name):
    check_op(load(name), name)


def identity_config(op) -> Config | None:
    """Settings with which the op has no effect; None for an op that always replaces the image."""
    if "p" in op.Config.model_fields:
        return op.Config(p=0.0)
    return op.Config(scale=(1.0, 1.0), ratio=(1.0, 1.0)) if "scale" in op.Config.model_fields else None


@pytest.mark.parametrize("name", NAMES)
def test_op_without_effect_is_the_identity(name):
    op, source = load(name), scene()
    if (config := identity_config(op)) is None:
        pytest.skip("the op always replaces the image")
    params = op.sample(config, (SIDE, SIDE), numbers(op.SLOTS))
    view = op.apply(source, params, None)
    assert (view.images - source.images).abs().max() < 1e-6
    assert (view.masks - source.masks).abs().max() < 1e-6
    assert (op.describe(params) == 0).all()


def broken(**changes) -> SimpleNamespace:
    """A copy of the flip op with a defect."""
    flip = load("flip")
    parts = {key: getattr(flip, key) for key in ("Config", "SLOTS", "sample", "apply", "describe", "compare")}
    return SimpleNamespace(**(parts | changes))


def images_only(batch, params, size=None):
    return Batch(load("flip").apply(batch, params).images, batch.masks)


def on_the_spot(batch, params, size=None):
    view = load("flip").apply(batch, params)
    return Batch(batch.images.copy_(view.images), view.masks)


def with_the_batch_mean(batch, params, size=None):
    view = load("flip").apply(batch, params)
    return Batch((view.images + view.images.mean(0)) / 2, view.masks)


def with_a_neighbours_number(config, shape, uniforms):
    return {"flipped": uniforms[:, 0].roll(1) < config.p}


def compare_flat(first, second):
    return Target((first["flip"]["flipped"] == second["flip"]["flipped"]).float(), "binary")


@pytest.mark.parametrize(
    ("op", "law"),
    [
        (broken(Config=SimpleNamespace), "Config derives"),
        (broken(SLOTS=0), "SLOTS is positive"),
        (broken(SLOTS=2), "every slot of SLOTS is read"),
        (broken(sample=lambda config, uniforms: None), "sample takes"),
        (broken(sample=with_a_neighbours_number), "a sample's parameters do not depend on other samples"),
        (broken(apply=images_only), "masks move with the images"),
        (broken(apply=on_the_spot), "apply does not modify its input"),
        (broken(apply=with_the_batch_mean), "does not depend on the batch|masks move"),
        (broken(describe=lambda params: 1 - params["flipped"].float()[:, None]), "described as 0 is the identity"),
        (broken(describe=lambda params: params["flipped"].float()), "describe returns"),
        (broken(needs=lambda config: frozenset({"bank"})), "bank is asked for by name"),
        (broken(compare=compare_flat), r"values are \(B, d\)"),
        (broken(TARGET_WIDTH=2), "TARGET_WIDTH is the width"),
        (broken(PHOTOMETRIC=True), "PHOTOMETRIC ops do not move pixels"),
        (broken(PROBES={"": load("flip").Config(p=0.1)}), "PROBES change nearly every image"),
    ],
)
def test_malformed_op_is_rejected(op, law):
    with pytest.raises(AssertionError, match=law):
        check_op(op, "flip")
    check_op(broken(), "flip")
