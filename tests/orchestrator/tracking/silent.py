"""A tracker that keeps nothing."""

from augment.config import Config as BaseConfig
from orchestrator.records.folder import SweepFolder


class Config(BaseConfig):
    name: str = __name__


def location(option: str | None) -> str:
    return "nowhere"


def build(config: Config, folder: SweepFolder, location: str) -> "Silent":
    return Silent()


def open_command(location: str) -> str:
    return f"look {location}"


class Silent:
    def changed(self, number: int) -> None:
        pass

    def close(self, timeout: float) -> list[str]:
        return []
