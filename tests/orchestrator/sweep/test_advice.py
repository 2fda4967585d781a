import re
from pathlib import Path

import pytest

from orchestrator.config.run import resolve
from orchestrator.config.search_space import Space
from orchestrator.config.sweep import read_sweep
from orchestrator.study.study_file import Study
from orchestrator.sweep.advice import machine_advice
from tests.orchestrator.tiny_run import RUN


@pytest.mark.parametrize(
    ("changes", "threads", "expected"),
    [
        ({"concurrency": 8}, 1, None),  # an executor runs as many as there are cores
        ({"concurrency": 4, "cpus_per_worker": 2}, 2, None),
        ({"concurrency": 2}, 2, None),
        ({"concurrency": 4}, 2, "4 workers .* on 4 cores; --set sweep.cpus_per_worker=2"),
        ({"concurrency": 1, "workers": 4}, 2, "4 workers .* on 4 cores; --set run.training.threads=1"),
        ({"concurrency": 4, "trials": 2}, 2, None),
    ],
)
def test_more_threads_than_cores_are_warned_of(monkeypatch, changes, threads, expected):
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    sweep = read_sweep({"name": "s", "trials": 9, "metric": "val_knn/1", "gpus_per_worker": 1.0, **changes})
    run = resolve({**RUN, "training": {**RUN["training"], "threads": threads}})
    warnings = machine_advice(Study(Path("study.yaml"), sweep, run, {}, Space(())))
    assert len(warnings) == (expected is not None)
    assert expected is None or re.search(expected, warnings[0])
