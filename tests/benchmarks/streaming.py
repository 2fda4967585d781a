"""Images per second of training on streamed Parquet files against the same images in memory.

    python -m tests.benchmarks.streaming [--images 20000] [--side 32] [--kind PNG] [--size 32] [--buffer 4096]
                                         [--batch 256] [--threads 1] [--decoders 1] [--steps 60]

Each contestant runs in a separate process, to measure its memory, and starts with a filled decode cache: of all images
for the in-memory one, of the sample for the streaming one. Their first batches are compared before timing. Shards hold
2,000 images in row groups of 100. The training step is SimCLR with ResNet-8.
"""

import argparse
import hashlib
import io
import json
import logging
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from PIL import Image
from pyarrow import parquet

from orchestrator.config.run import RunConfig, resolve
from orchestrator.core import hardware
from orchestrator.data.on_device import DeviceImages
from orchestrator.data.streamed import StreamedImages
from orchestrator.training import assembly

SHARD, ROW_GROUP, VALIDATION = 2000, 100, 100
LOG = logging.getLogger(__name__)


def picture(seed: int, side: int, kind: str) -> bytes:
    """An encoded image with structure at many scales."""
    draw = np.random.default_rng(seed)
    layers = [draw.integers(0, 256, (n, n, 3), np.uint8) for n in (2, 8, side)]
    grown = [Image.fromarray(layer).resize((side, side), Image.Resampling.BILINEAR) for layer in layers]
    content = io.BytesIO()
    Image.blend(Image.blend(grown[0], grown[1], 0.5), grown[2], 0.1).save(content, kind)
    return content.getvalue()


def write_shards(root: Path, count: int, side: int, kind: str) -> None:
    with multiprocessing.Pool() as pool:
        for part, first, total in (("validation", count, VALIDATION), ("train", 0, count)):
            (root / part).mkdir(parents=True)
            for start in range(first, first + total, SHARD):
                seeds = range(start, min(start + SHARD, first + total))
                images = pool.starmap(picture, [(seed, side, kind) for seed in seeds], chunksize=50)
                table = pa.table({"image": images, "label": [seed % 10 for seed in seeds]})
                parquet.write_table(table, root / part / f"{start:08d}.parquet", row_group_size=ROW_GROUP)


def run_config(root: Path, arguments: argparse.Namespace, *, streamed: bool) -> RunConfig:
    stream = {"buffer": arguments.buffer, "sample": 2000, "threads": arguments.decoders}
    place = {"root": str(root), "cache": str(root.parent / "cache"), "size": arguments.size}
    training = {"epochs": 100, "batch_size": arguments.batch, "threads": arguments.threads}
    ops = {"weak": {"crop": {}, "flip": {}}, "aggressive": {"color_jitter": {}, "grayscale": {}}}
    return resolve(
        {
            "dataset": {"name": "parquet", **place, "stream": stream if streamed else None},
            "augment": {"recipes": ops},
            "method": {"name": "simclr"},
            "encoder": {"name": "resnet", "depth": 8, "stem": "strided"},
            "optimizer": {"lr": 0.1},
            "training": training,
            "evaluation": {},
        }
    )


def epochs(images: DeviceImages | StreamedImages, batch: int) -> Iterator[torch.Tensor]:
    """Yield the rows of full batches, epoch after epoch, with the same prefetch calls as the training loop."""
    for epoch in range(1, 1000):
        rows = images.order(epoch)
        batches = rows[: len(rows) // batch * batch].split(batch)
        images.read_ahead(batches)
        yield from batches


def contestant(run: RunConfig, steps: int) -> dict[str, float | str]:
    """Run one contestant and return its measurements."""
    device, batch = hardware.device(), run.training.batch_size
    begun = time.perf_counter()
    data = assembly.load_data(run)
    with hardware.arithmetic(run.training.threads, device):
        training = assembly.training(run, data, device)
        found: dict[str, float | str] = {"seconds to be ready": time.perf_counter() - begun}
        images = training.images
        found["digest"] = hashlib.sha256(images.batch(torch.arange(batch)).images.cpu().numpy().tobytes()).hexdigest()
        coming = epochs(images, batch)

        def time_steps(what: str) -> None:
            start, start_work = time.perf_counter(), time.process_time()
            for _ in range(steps):
                rows = next(coming)
                if what == "training":
                    training.train_step(rows, 1)
                else:
                    images.batch(rows)
            hardware.wait_for(device)
            found[f"{what}, images/s"] = steps * batch / (time.perf_counter() - start)
            found[f"{what}, images/s of CPU time"] = steps * batch / (time.process_time() - start_work)

        start = time.perf_counter()
        images.batch(next(coming))
        found["seconds to the first batch"] = time.perf_counter() - start
        time_steps("batches alone")
        training.train_step(next(coming), 1)
        time_steps("training")
    found["peak memory, MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found["of which pixels in memory, MB"] = data.nbytes / 1e6
    return found


def main() -> None:
    """Write shards, fill the caches, and run each contestant alone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    numbers = {
        "images": 20_000, "side": 32, "size": 32, "buffer": 4096, "batch": 256, "threads": 1, "decoders": 1, "steps": 60
    }  # fmt: skip
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--kind", default="PNG")
    parser.add_argument("--alone", nargs=2, help=argparse.SUPPRESS)  # contestant and root
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if arguments.alone:
        name, root = arguments.alone
        run = run_config(Path(root), arguments, streamed=name == "streamed")
        sys.stdout.write(json.dumps(contestant(run, arguments.steps)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "shards"
        write_shards(root, arguments.images, arguments.side, arguments.kind)
        found = {name: _alone(name, root) for name in 2 * ("in memory", "streamed")}  # the second run finds the caches
    assert found["in memory"].pop("digest") == found["streamed"].pop("digest"), "the contestants show different images"
    LOG.info("%-34s %12s %12s", "", *found)
    for name in found["streamed"]:
        LOG.info("%-34s %12.6g %12.6g", name, *(values[name] for values in found.values()))


def _alone(name: str, root: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.benchmarks.streaming", *sys.argv[1:], "--alone", name, str(root)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


if __name__ == "__main__":
    main()
