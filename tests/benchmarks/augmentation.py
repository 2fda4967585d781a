"""Views per second of our pipeline against torchvision v2 and lightly, on the same cores in the same run.

    python -m tests.benchmarks.augmentation [--threads 1]

Recipe: crop, flip, colour jitter, grayscale, blur, normalise; 32 px to 32 px; median of 5 rounds, their order turned
round in every second one. Outputs are compared first: mean, contrast and sharpness over many views must agree.
"""

import argparse
import logging
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import to_pil_image

from augment.ops import blur, color_jitter, crop, flip, grayscale
from augment.pipeline import Pipeline
from augment.views import Batch, Step, ViewSpec
from tests.benchmarks.peers import lightly_simclr, torchvision_simclr

SIZE, ROUNDS, ROUND_SECONDS = 32, 5, 0.5
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
OPS = {"crop": crop, "flip": flip, "color_jitter": color_jitter, "grayscale": grayscale, "blur": blur}
LOG = logging.getLogger(__name__)


def smooth_images(count: int) -> Tensor:
    """Images with structure at many scales, 8 bits deep, as floats in [0, 1]."""
    generator = torch.Generator().manual_seed(0)
    layers = [torch.rand(count, 3, side, side, generator=generator) for side in (2, 4, 8, 32)]
    grown = [torch.nn.functional.interpolate(layer, size=(SIZE, SIZE), mode="bilinear") for layer in layers]
    return (torch.stack(grown).mean(0) * 255).round() / 255


def contestants(images: Tensor) -> dict[str, Callable[[], Tensor]]:
    """Each makes two views of every image."""
    recipe = [Step(name, op, op.Config()) for name, op in OPS.items()]
    views = {name: ViewSpec(("simclr",)) for name in ("view_1", "view_2")}
    pipeline = Pipeline(views, {"simclr": recipe}, mean=MEAN, std=STD, seed=0)
    rows, epoch = torch.arange(len(images)), iter(range(10**9))
    torchvision_transform = torchvision_simclr.transform(SIZE, MEAN, STD)
    lightly_transform = lightly_simclr.transform(SIZE, MEAN, STD)
    pil = [to_pil_image(image) for image in images]

    def ours() -> Tensor:
        made = pipeline(Batch(images), rows, next(epoch))
        return torch.cat([view.images for view in made.values()])

    def torchvision() -> Tensor:
        return torch.cat([torchvision_simclr.views(images, torchvision_transform) for _ in range(2)])

    def lightly() -> Tensor:
        return lightly_simclr.views(pil, lightly_transform)

    return {"ours": ours, "torchvision": torchvision, "lightly": lightly}


def compare_outputs(makers: dict[str, Callable[[], Tensor]]) -> None:
    """Raise unless all contestants make the same kind of views."""
    statistics_of = {}
    for name, make in makers.items():
        views = torch.cat([make() for _ in range(4)])
        assert views.shape[1:] == (3, SIZE, SIZE)
        edges = (views[..., 1:] - views[..., :-1]).abs().mean()
        statistics_of[name] = torch.stack([views.mean(), views.std(), views.std((2, 3)).mean(), edges])
    LOG.info("mean, deviation, deviation within an image, mean step between neighbours:")
    for name, values in statistics_of.items():
        LOG.info("  %-12s %s", name, "  ".join(f"{value:7.4f}" for value in values.tolist()))
        if (values - statistics_of["torchvision"]).abs().max() > 0.05:
            raise SystemExit(f"{name} does not make the views that torchvision makes")


def views_per_second(make: Callable[[], Tensor]) -> float:
    start, made = time.perf_counter(), 0
    while time.perf_counter() - start < ROUND_SECONDS:
        made += len(make())
    return made / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(arguments.threads)
    compare_outputs(contestants(smooth_images(256)))
    for batch_size in (32, 256):
        makers = contestants(smooth_images(batch_size))
        rates = {name: [] for name in makers}
        for make in makers.values():
            make()  # warm up
        for turn in range(ROUNDS):
            for name in list(makers) if turn % 2 == 0 else reversed(makers):
                rates[name].append(views_per_second(makers[name]))
        medians = {name: statistics.median(values) for name, values in rates.items()}
        LOG.info("batch %d, %d thread(s):", batch_size, arguments.threads)
        for name, rate in medians.items():
            LOG.info("  %-12s %8.0f views/s, ours is %5.2f x as fast", name, rate, medians["ours"] / rate)


if __name__ == "__main__":
    main()
