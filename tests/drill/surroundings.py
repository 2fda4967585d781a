"""All services that a sweep on a cluster uses."""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Self
from unittest.mock import patch

from tests.drill.cluster import Cluster
from tests.drill.services import MlflowServer, Postgres
from tests.orchestrator.storage.s3_server import s3_server


class Surroundings:
    """MLflow's server on PostgreSQL, a Ray cluster and an S3 endpoint.

    `with` starts and kills them, and sets the environment variables by which this process and its children find them.

    Args:
        home: Folder of the services, see `services.home`.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.postgres = Postgres(home)
        self.mlflow = MlflowServer(home, self.postgres.uri)
        self.ray = Cluster(home)
        self.storage = ""  # address of a bucket, once the endpoint runs
        self._started = ExitStack()

    @property
    def arguments(self) -> tuple[str, ...]:
        """Arguments of a sweep command that uses them."""
        return ("--address", self.ray.address, "--tracking-uri", self.mlflow.uri)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(patch.dict(os.environ, self.ray.environment))
            self.storage = stack.enter_context(s3_server()).uri("sweeps/drill")
            for service in (self.postgres, self.mlflow, self.ray):
                stack.callback(service.kill)
            self.postgres.start()
            self.mlflow.launch()  # starts in parallel with Ray
            self.ray.start()
            self.mlflow.wait()
            self._started = stack.pop_all()
        return self

    def __exit__(self, *reason: object) -> None:
        self._started.close()

    def restart(self) -> None:
        """Restarts the services that faults act on, whatever state they are in."""
        for service in (self.ray, self.mlflow):
            service.kill()
            service.start()
