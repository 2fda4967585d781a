"""The picture of views shows the images that it says it shows."""

from pathlib import Path

import numpy as np
from PIL import Image

from orchestrator.config.run import resolve
from orchestrator.storage.path import parse
from orchestrator.training import assembly, view_grid
from tests.orchestrator.invented_sweep import RUN

TILE, GAP, TOP = 96, 6, 22


def tile(sheet: Image.Image, column: int, row: int) -> np.ndarray:
    left, upper = GAP + column * (TILE + GAP), TOP + row * (TILE + GAP)
    return np.asarray(sheet.crop((left, upper, left + TILE, upper + TILE)))


def test_view_grid_shows_sources_and_denormalised_views() -> None:
    still = {"crop": {"scale": [1.0, 1.0], "ratio": [1.0, 1.0]}}
    run = resolve(RUN | {"augment": {"recipes": {"weak": still, "aggressive": {"grayscale": {"p": 1.0}}}}})
    data = assembly.load_data(run)
    sheet = assembly.views_picture(run, data)
    assert sheet.size == (GAP + 5 * (TILE + GAP), TOP + 8 * (TILE + GAP))
    for row in range(8):
        source = data.splits["train"].images[row].repeat(TILE // 16, axis=0).repeat(TILE // 16, axis=1)
        np.testing.assert_array_equal(tile(sheet, 0, row), source)
        for weak in (1, 3):  # a crop of everything, so what is shown is normalised and taken back
            assert np.abs(tile(sheet, weak, row).astype(int) - source).max() <= 1
        for aggressive in (2, 4):
            grey = tile(sheet, aggressive, row).astype(int)
            assert np.ptp(grey, axis=2).max() <= 1
            assert np.ptp(grey[..., 0]) > 0


def test_view_grid_is_the_same_each_time_and_whole_on_disk(tmp_path: Path) -> None:
    run = resolve(RUN)
    data = assembly.load_data(run)
    view_grid.write(parse(tmp_path / "views.png"), assembly.views_picture(run, data))
    with Image.open(tmp_path / "views.png") as stored:
        np.testing.assert_array_equal(np.asarray(stored), np.asarray(assembly.views_picture(run, data)))
    assert [file.name for file in tmp_path.iterdir()] == ["views.png"]
