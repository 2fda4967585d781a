"""What a sweep needs of an experiment tracker.

A tracker is a module `orchestrator/tracking/<name>.py`, or one of the user's own named with its dots. It defines

- `Config`, with its `name`: the section `sweep.tracker`;
- `location(option)`: where it tracks, from the option `--tracking-uri` or None; UserError for a place it cannot use;
- `build(config, folder, location)`: a `Tracker` of a sweep's folder;
- `open_command(location)`: what the user types or opens to look at the results.
"""

from typing import Protocol, runtime_checkable


@runtime_checkable
class Tracker(Protocol):
    """Follows a sweep's folder, which holds every number: if the tracker is slow or down, nothing waits and is lost."""

    def changed(self, number: int) -> None:
        """Note that a trial's folder holds something new; return at once."""
        ...

    def close(self, timeout: float) -> list[str]:
        """Send the rest within so many seconds.

        Returns:
            A sentence for each thing that could not be sent; the same sweep command sends it later.
        """
        ...
