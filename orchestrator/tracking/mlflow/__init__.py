"""MLflow as a mirror of the sweep's folder."""

from augment.config import Config as BaseConfig
from orchestrator.records.folder import SweepFolder
from orchestrator.tracking.contract import Tracker
from orchestrator.tracking.mlflow import address, tracker


class Config(BaseConfig):
    """Nothing to configure; the command's `--tracking-uri` says where MLflow is.

    Args:
        name: `mlflow`.
    """

    name: str = "mlflow"


def location(option: str | None) -> str:
    """The URI of MLflow: `--tracking-uri`, else MLFLOW_TRACKING_URI, else `mlflow.db` in the working folder.

    Raises:
        UserError: MLflow cannot write to such a URI.
    """
    return address.tracking_uri(option)


def build(config: Config, folder: SweepFolder, uri: str) -> Tracker:
    """A tracker that sends what `folder` holds from a thread of its own."""
    return tracker.Tracker(folder, uri)


def open_command(uri: str) -> str:
    """The command, or the address, that shows the results."""
    return address.open_command(uri)
