"""Small Parquet shards, and what streams them."""

import pickle
from pathlib import Path

import numpy as np
import torch

from orchestrator.data.images import ImageSet
from orchestrator.data.streamed import StreamedImages
from orchestrator.datasets import parquet
from tests.orchestrator.datasets.own_files import write_shard

CPU = torch.device("cpu")
NOTHING = ImageSet(np.empty((0, 16, 16, 3), np.uint8))
PLAIN = {"needs": (), "foregrounds": None, "seed": 3}


def write_shards(root: Path) -> Path:
    """78 images, 70 of them trained on, in row groups of 4 and less."""
    for number in range(3):
        write_shard(root / f"{number}.parquet", 26, seed=26 * number, label=[*range(26)])
    return root


def settings(root: Path, **stream: int) -> parquet.Config:
    """Streamed with these settings, or without any in memory."""
    return parquet.Config(root=str(root), cache=str(root.parent / "cache"), size=16, stream=stream or None)


def streamed(root: Path, **stream: int) -> StreamedImages:
    source = parquet.stream(settings(root, **{"buffer": 16, "sample": 20, **stream}))
    assert source is not None
    return StreamedImages(pickle.loads(pickle.dumps(source)), NOTHING, CPU, **PLAIN)
