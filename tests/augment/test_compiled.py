"""What `torch.compile` makes of draws and ops, tried without the annotation checks, which it cannot trace."""

import os
import shutil
import subprocess
import sys

import pytest

SCRIPT = """
import importlib
from dataclasses import replace
import torch
from augment import draws
from tests.augment.banks import batch_of, signed_bank

rows = torch.tensor([0, 1, 2**31, 2**32 - 1])
requests = [(draws.stream("a"), 22), (2**32 - 1, 5)]
eagerly = draws.uniform_slices(2**64 - 1, 3, rows, requests)
compiled = torch.compile(draws.uniform_slices, fullgraph=True)(2**64 - 1, 3, rows, requests)
for ours, eager in zip(compiled, eagerly, strict=True):
    assert torch.equal(ours, eager), "compiled draws differ"

images = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
batch = replace(batch_of(signed_bank(8, side=32), torch.arange(8)), images=images)
ops = ("crop", "flip", "color_jitter", "grayscale", "blur", "rotate", "solarize", "background", "foreground")
for name in ops:
    op = importlib.import_module(f"augment.ops.{name}")
    uniforms = torch.rand(8, op.SLOTS, generator=torch.Generator().manual_seed(1))
    params = op.sample(op.Config(), (32, 32), uniforms)
    compiled = torch.compile(op.sample, fullgraph=True)(op.Config(), (32, 32), uniforms)
    for key, value in params.items():
        assert torch.allclose(compiled[key], value, atol=1e-6), f"compiled {name}.{key} differs"
    compiled = torch.compile(op.apply, fullgraph=True)(batch, params, None).images
    assert (compiled - op.apply(batch, params, None).images).abs().max() < 1e-4, f"compiled {name} differs"
"""


@pytest.mark.slow  # minutes of compiling
@pytest.mark.timeout(900)
@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile needs a compiler")
def test_compiled_draws_and_ops_are_one_graph_each_and_equal_eager(tmp_path):
    environment = os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path), "PYTHONPATH": os.getcwd()}
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, timeout=900
    )
    assert result.returncode == 0, result.stderr[-3000:]


TRACED = """
import importlib
import torch
from augment.pipeline import Pipeline
from augment.views import Batch, Step, ViewSpec

names = ("crop", "flip", "color_jitter", "grayscale", "blur")
ops = {name: importlib.import_module(f"augment.ops.{name}") for name in names}
recipe = [Step(name, op, op.Config()) for name, op in ops.items()]
views = {name: ViewSpec(("recipe",), size=16) for name in ("view_1", "view_2")}
pipeline = Pipeline(views, {"recipe": recipe}, mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.2), seed=0)
batch = Batch(torch.rand(4, 3, 20, 20, generator=torch.Generator().manual_seed(0)))
given = batch, torch.arange(4), torch.tensor(1)
eager = pipeline(*given)
traced = torch.compile(pipeline, fullgraph=True, dynamic=False, backend="aot_eager")(*given)
for name, view in eager.items():
    assert (traced[name].images - view.images).abs().max() < 1e-4, f"traced {name} differs"
"""


def test_a_whole_recipe_with_its_many_constants_is_traced_as_one_graph():
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    result = subprocess.run([sys.executable, "-c", TRACED], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
