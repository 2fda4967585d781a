"""The interface of an experiment tracker.

A tracker is a module `orchestrator/tracking/<name>.py`, or a user's module given by its dotted name. It defines

- `Config`, with its `name`: the section `sweep.tracker`;
- `location(option)`: where to track, given the option `--tracking-uri` or None; UserError if it cannot be used;
- `build(config, folder, location)`: a `Tracker` of a sweep's folder;
- `open_command(location)`: the command or address that shows the results.
"""

from typing import Protocol, runtime_checkable


@runtime_checkable
class Tracker(Protocol):
    """Follows a sweep's folder, which holds all results: a slow or unreachable tracker delays and loses nothing."""

    def changed(self, number: int) -> None:
        """Record that a trial's folder has changed; returns immediately."""
        ...

    def close(self, timeout: float) -> list[str]:
        """Send everything still unsent.

        Args:
            timeout: seconds to wait at most.

        Returns:
            A sentence for each problem; running the same sweep command again sends what is missing.
        """
        ...
