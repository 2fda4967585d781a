import pytest

from orchestrator.config.sweep import SweepConfig
from orchestrator.core.errors import UserError
from orchestrator.executors.ray.cluster import cluster


def test_ray_that_does_not_start_is_told_in_one_line(monkeypatch, tmp_path):
    def init(**_):
        raise Exception("The current node timed out during startup.\nThis could happen because ...")

    monkeypatch.setattr("ray.init", init)
    sweep = SweepConfig(name="s", trials=1, metric="score")
    place = {"log": tmp_path / "ray.log", "address": None, "storage": str(tmp_path)}
    with pytest.raises(UserError) as told, cluster(sweep, data_bytes=1, **place):
        pass
    assert str(told.value).startswith("Ray did not start: The current node timed out during startup. (more in ")
    assert "\n" not in str(told.value)
