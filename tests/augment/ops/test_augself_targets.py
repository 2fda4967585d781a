"""What AugSelf predicts, against its table of targets, worked out for each image from what was done to it."""

import numpy as np
import pytest
import torch

from augment.ops import blur, color_jitter, crop, flip, rotate, solarize

COUNT, SHAPE = 200, (40, 40)
CONFIGS = {
    "crop": crop.Config(),
    "flip": flip.Config(),
    "color_jitter": color_jitter.Config(),
    "blur": blur.Config(sigma=(0.3, 1.7)),
    "solarize": solarize.Config(threshold=(0.1, 0.9), p=0.5),
    "rotate": rotate.Config(),
}
OPS = {
    "crop": crop,
    "flip": flip,
    "color_jitter": color_jitter,
    "blur": blur,
    "solarize": solarize,
    "rotate": rotate,
}


def drawn(configs, seed):
    generator = torch.Generator().manual_seed(seed)
    return {
        name: OPS[name].sample(config, SHAPE, torch.rand(COUNT, OPS[name].SLOTS, generator=generator))
        for name, config in configs.items()
    }


def box(params, row, *, mirrored):
    """Centre and size of one image's crop, in shares of the image."""
    top, left, height, width = params["crop"]["box"][row].tolist()
    x = left + width / 2
    return np.array([top + height / 2, 1 - x if mirrored else x, height, width])


def jitter(params, row, config):
    """The four amounts of one image, each in [-1/2, 1/2] where no range touches 0."""
    amounts = [(params["color_jitter"][name][row].item() - 1) for name in ("brightness", "contrast", "saturation")]
    amounts.append(params["color_jitter"]["hue"][row].item())
    spreads = (config.brightness, config.contrast, config.saturation)
    widths = [(1 + spread) - max(0, 1 - spread) for spread in spreads] + [2 * config.hue]
    return np.array(amounts) / widths


def oracle(name, first, second, row, configs):
    if name == "crop":
        mirrored = bool(first["flip"]["flipped"][row])
        return box(first, row, mirrored=mirrored) - box(second, row, mirrored=mirrored)
    if name == "color_jitter":
        return jitter(first, row, configs[name]) - jitter(second, row, configs[name])
    values = {"flip": "flipped", "blur": "sigma", "solarize": "threshold", "rotate": "turns"}
    one, other = (params[name][values[name]][row].item() for params in (first, second))
    return {
        "flip": np.array([float(one == other)]),
        "blur": np.array([(one - other) / configs["blur"].sigma[1]]),
        "solarize": np.array([one - other]),
        "rotate": np.array((one - other) % 4),
    }[name]


@pytest.mark.parametrize(
    ("name", "strength"), [*((op, 1.0) for op in OPS), ("color_jitter", 0.5), ("color_jitter", 4.0)]
)
def test_targets_are_those_of_the_table_in_both_orders(name, strength):
    configs = {**CONFIGS, "color_jitter": color_jitter.scaled(CONFIGS["color_jitter"], strength)}
    first, second = drawn(configs, 1), drawn(configs, 2)
    for one, other in ((first, second), (second, first)):
        got = OPS[name].compare(one, other).values.numpy()
        expected = np.stack([oracle(name, one, other, row, configs) for row in range(COUNT)])
        np.testing.assert_allclose(got, expected, rtol=0, atol=2e-6)
        assert got.std(axis=0).min() > 0.05  # something is there to be predicted


def test_jitter_is_divided_by_the_widths_of_its_default_ranges():
    params = drawn(CONFIGS, 1)["color_jitter"]
    factors = torch.stack([params[name] for name in ("brightness", "contrast", "saturation")], dim=1)
    expected = torch.cat(((factors - 1) / 0.8, params["hue"][:, None] / 0.2), dim=1)
    torch.testing.assert_close(params["intensity"], expected, rtol=0, atol=1e-6)


def test_crop_targets_ignore_rotation():
    first, second = drawn(CONFIGS, 1), drawn(CONFIGS, 2)
    upright = {name: params for name, params in first.items() if name != "rotate"}
    assert torch.equal(crop.compare(first, second).values, crop.compare(upright, second).values)
