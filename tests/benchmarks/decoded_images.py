"""Cost of decoding a folder of JPEGs once, and of fetching batches from the decode cache.

    python -m tests.benchmarks.decoded_images                     2,000 JPEGs, resized to 224 px

Prints milliseconds per image for decoding with one thread and with all, for fetching random batches from the mapped
file (warm, and after evicting it from the page cache), and for two augmented views; then the memory of the mapping in
two processes that have read all of it (the benchmark itself maps it too, so each process's share is a third).
"""

import argparse
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import torch
from torchvision.io import write_jpeg

from orchestrator.data import decode_cache
from orchestrator.datasets import image_folder
from tests.benchmarks.augmentation import ours, smooth_images

SOURCE, BATCHES, AUGMENTED = 320, 4, 32
LOG = logging.getLogger(__name__)

# Reads every image of a cache, waits until the other process has too, and prints the mapping's memory in kB.
READER = """
import json, sys
from pathlib import Path
from orchestrator.datasets import decode_cache
images = decode_cache._read(Path(sys.argv[1])).part("train").images
images.sum()
print("read", flush=True)
input()
sizes, inside = {}, False
for line in open("/proc/self/smaps"):
    words = line.split()
    if "-" in words[0] and not words[0].endswith(":"):
        inside = line.rstrip().endswith("images.u8")
    elif inside and words[0] in ("Rss:", "Pss:", "Private_Clean:", "Private_Dirty:"):
        sizes[words[0]] = sizes.get(words[0], 0) + int(words[1])
print(json.dumps(sizes), flush=True)
sys.stdin.read()
"""


def write_jpegs(root: Path, count: int) -> None:
    """Images with structure at many scales and some noise, in ten classes."""
    images = smooth_images(64, SOURCE)
    for number in range(count):
        folder = root / "train" / str(number % 10)
        folder.mkdir(parents=True, exist_ok=True)
        noisy = images[number % 64] + 0.05 * torch.randn(3, SOURCE, SOURCE)
        write_jpeg((noisy.clamp(0, 1) * 255).byte(), str(folder / f"{number}.jpg"), quality=90)


def seconds(work: Callable[[], object]) -> float:
    """Wall time of a call, in seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def fetching(file: Path, images: torch.Tensor, batch: int, *, cold: bool) -> float:
    """Seconds per image to fetch batches of random rows; `cold` evicts the file from the page cache first."""
    taken = 0.0
    for _ in range(BATCHES):
        if cold:
            with open(file, "rb") as opened:
                os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        rows = torch.randperm(len(images))[:batch]
        taken += seconds(lambda rows=rows: images[rows])
    return taken / BATCHES / min(batch, len(images))


def shared(folder: Path) -> None:
    """Log how much memory the same cache takes in two processes that have read it."""
    start = [sys.executable, "-c", READER, str(folder)]
    readers = [subprocess.Popen(start, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for reader in readers:
        assert reader.stdout is not None
        reader.stdout.readline()
    for reader in readers:  # the other process stays alive while this one measures
        assert reader.stdin is not None
        assert reader.stdout is not None
        reader.stdin.write("\n")
        reader.stdin.flush()
        LOG.info("kB of the mapped images in one of two processes: %s", reader.stdout.readline().strip())
    for reader in readers:
        reader.communicate()


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of decoding JPEGs once.")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=512)
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "images"
        write_jpegs(root, chosen.images)
        listing = image_folder.listing(root)
        decode = {"cache": Path(scratch) / "cache", "size": chosen.size}
        with mock.patch.object(decode_cache.os, "cpu_count", return_value=1):
            alone = seconds(lambda: decode_cache.decoded(listing, cache=Path(scratch) / "alone", size=chosen.size))
        together = seconds(lambda: decode_cache.decoded(listing, **decode))
        again = seconds(lambda: decode_cache.decoded(listing, **decode))
        made = decode_cache.decoded(listing, **decode)
        images = torch.from_dlpack(made.part("train").images)
        file = made.folder / "images.u8"
        cold = fetching(file, images, chosen.batch, cold=True)
        warm = fetching(file, images, chosen.batch, cold=False)
        some = images[:AUGMENTED].permute(0, 3, 1, 2).float().div_(255)
        views = ours(some, chosen.size, compiled=False)
        views()
        figures = {
            "decoding, one thread": alone / chosen.images,
            f"decoding, {os.cpu_count()} threads": together / chosen.images,
            f"fetching {chosen.batch} rows, cold": cold,
            f"fetching {chosen.batch} rows, warm": warm,
            "two augmented views": seconds(views) / AUGMENTED,
        }
        LOG.info("%d images of %d px, %.0f MB; milliseconds per image:", len(images), chosen.size, images.nbytes / 1e6)
        for name, value in figures.items():
            LOG.info("  %-28s %8.3f", name, 1e3 * value)
        LOG.info("opening the decode cache: %.1f ms", 1e3 * again)
        shared(made.folder)


if __name__ == "__main__":
    main()
