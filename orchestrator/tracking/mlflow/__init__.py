"""Tracking with MLflow, which mirrors the sweep's folder."""

from augment.config import Config as BaseConfig
from orchestrator.records.folder import SweepFolder
from orchestrator.tracking.contract import Tracker
from orchestrator.tracking.mlflow import address, tracker


class Config(BaseConfig):
    """MLflow has no settings; `--tracking-uri` sets its address.

    Args:
        name: `mlflow`.
    """

    name: str = "mlflow"


def location(option: str | None) -> str:
    """The tracking URI: `--tracking-uri`, else MLFLOW_TRACKING_URI, else `mlflow.db` in the working folder.

    Raises:
        UserError: if MLflow cannot write there.
    """
    return address.tracking_uri(option)


def build(config: Config, folder: SweepFolder, uri: str) -> Tracker:
    """Start a tracker that sends the contents of `folder` in a background thread."""
    return tracker.Tracker(folder, uri)


def open_command(uri: str) -> str:
    """The command or address that shows the results."""
    return address.open_command(uri)
