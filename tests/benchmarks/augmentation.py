"""Views per second of our pipeline against kornia, torchvision v2 and lightly, on the same cores in the same run.

    python -m tests.benchmarks.augmentation                          32 px, one thread, batches of 32 and 256
    python -m tests.benchmarks.augmentation --size 224 --threads 2 --compiled

Recipe: crop, flip, colour jitter, grayscale, blur, normalise. Ours and kornia process batches with `--threads` threads;
torchvision and lightly process one image at a time in as many single-threaded processes, started beforehand. On a
machine with a GPU, ours and kornia run on it. Outputs are compared first: mean, contrast and sharpness over many views
must agree. Reported is the median of 5 rounds; every second round runs the contestants in reverse order.
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
from tests.benchmarks.peers import kornia_simclr, lightly_simclr, torchvision_simclr
from tests.benchmarks.processes import Processes, rate

SOURCE_SIZES = {32: 32, 96: 96, 224: 256}  # view size: size of the source images that are cropped to it
ROUNDS, ROUND_SECONDS, COMPARED = 5, 0.5, 1024
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
OPS = {"crop": crop, "flip": flip, "color_jitter": color_jitter, "grayscale": grayscale, "blur": blur}
LOG = logging.getLogger(__name__)
Maker = Callable[[], Tensor]


def smooth_images(count: int, size: int) -> Tensor:
    """Images with structure at many scales, 8 bits deep, as floats in [0, 1]."""
    generator = torch.Generator().manual_seed(0)
    layers = [torch.rand(count, 3, side, side, generator=generator) for side in (2, 4, 8, 32)]
    grown = [torch.nn.functional.interpolate(layer, size=(size, size), mode="bilinear") for layer in layers]
    return (torch.stack(grown).mean(0) * 255).round() / 255


def ours(images: Tensor, size: int, *, compiled: bool) -> Maker:
    """Return a function that makes two views of every image, with the next epoch's parameters at each call."""
    recipe = [Step(name, op, op.Config()) for name, op in OPS.items()]
    views = {name: ViewSpec(("simclr",), size=size) for name in ("view_1", "view_2")}
    pipeline = Pipeline(views, {"simclr": recipe}, mean=MEAN, std=STD, seed=0)
    rows = torch.arange(len(images), device=images.device)
    epoch = torch.zeros((), dtype=torch.int64, device=images.device)
    made = pipeline
    if compiled:
        pipeline(Batch(images), rows, epoch)  # moves constants to the device: tracing treats them as inputs
        made = torch.compile(pipeline, fullgraph=True, dynamic=False)

    def make() -> Tensor:
        return torch.cat([view.images for view in made(Batch(images), rows, epoch.add_(1)).values()])

    return make


def batched(images: Tensor, size: int, *, compiled: bool) -> dict[str, Maker]:
    """The contestants that make two views of a whole batch at once."""
    kornia = kornia_simclr.transform(size, MEAN, STD)
    makers = {"ours": ours(images, size, compiled=False)}
    if compiled:
        makers["ours, compiled"] = ours(images, size, compiled=True)
    return makers | {"kornia": lambda: kornia(torch.cat([images, images]))}


def one_by_one(images: Tensor, size: int) -> dict[str, Maker]:
    """The contestants that make two views of one image at a time."""
    torchvision = torchvision_simclr.transform(size, MEAN, STD)
    lightly, pil = lightly_simclr.transform(size, MEAN, STD), [to_pil_image(image) for image in images]
    return {
        "torchvision": lambda: torch.cat([torchvision_simclr.views(images, torchvision) for _ in range(2)]),
        "lightly": lambda: lightly_simclr.views(pil, lightly),
    }


def compare_outputs(makers: dict[str, Maker]) -> None:
    """Raise unless all contestants make the same kind of views."""
    statistics_of = {}
    for name, make in makers.items():
        calls = -(-COMPARED // len(first := make().cpu()))
        views = torch.cat([first, *(make().cpu() for _ in range(calls - 1))])
        edges = (views[..., 1:] - views[..., :-1]).abs().mean()
        statistics_of[name] = torch.stack([views.mean(), views.std(), views.std((2, 3)).mean(), edges])
    LOG.info("mean, deviation, deviation within an image, mean step between neighbours:")
    for name, values in statistics_of.items():
        LOG.info("  %-15s %s", name, "  ".join(f"{value:7.4f}" for value in values.tolist()))
        if (values - statistics_of["torchvision"]).abs().max() > 0.05:
            raise SystemExit(f"{name} does not make the views that torchvision makes")


def counted(make: Maker) -> Callable[[], int]:
    """Wrap a maker: each call waits for its views and returns how many it made."""

    def work() -> int:
        views = make()
        if views.is_cuda:
            torch.cuda.synchronize()
        return len(views)

    return work


def contest(images: Tensor, size: int, *, threads: int, compiled: bool) -> None:
    """Time all of them on a batch, and log a table."""
    peers = {name: Processes(counted(make), threads) for name, make in one_by_one(images.cpu(), size).items()}
    meters = {name: peer.rate for name, peer in peers.items()}
    for name, make in batched(images, size, compiled=compiled).items():
        work, start = counted(make), time.perf_counter()
        work()
        if name == "ours, compiled":
            LOG.info("compiled in %.0f s", time.perf_counter() - start)
        meters = {name: lambda seconds, work=work: rate(work, seconds), **meters}
    rates = {name: [] for name in meters}
    for turn in range(1 + ROUNDS):  # the first one warms up
        for name in list(meters) if turn % 2 == 0 else reversed(meters):
            rates[name].append(meters[name](ROUND_SECONDS))
    medians = {name: statistics.median(values[1:]) for name, values in rates.items()}
    LOG.info("%d px, batch %d, %d thread(s), %s:", size, len(images), threads, images.device.type)
    for name, value in medians.items():
        LOG.info("  %-15s %9.0f views/s, ours is %6.2f x as fast", name, value, medians["ours"] / value)


def main() -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, choices=SOURCE_SIZES, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, nargs="+", help="32 and 256 by default, at 224 px on CPU 32")
    parser.add_argument("--compiled", action="store_true", help="time our pipeline compiled, too")
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(chosen.threads)
    sizes = chosen.batch or ([32] if chosen.size == 224 and device.type == "cpu" else [32, 256])
    source = SOURCE_SIZES[chosen.size]
    torch.manual_seed(0)
    images = smooth_images(128, source).to(device)
    compare_outputs(batched(images, chosen.size, compiled=False) | one_by_one(images.cpu(), chosen.size))
    for batch_size in sizes:
        images = smooth_images(batch_size, source).to(device)
        contest(images, chosen.size, threads=chosen.threads, compiled=chosen.compiled)


if __name__ == "__main__":
    main()
