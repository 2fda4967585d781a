"""What a process and all that descend from it hold in memory, looked at while they run (Linux)."""

import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.orchestrator.command import descendants

_STORE = "plasma"  # in the name of the file that is Ray's object store
_GLANCE = 0.2  # seconds between looks


@dataclass
class Peak:
    """The most that one process was seen to hold, in MB, each at its own moment.

    Args:
        pid: of the process.
        names: its command lines; Ray's workers change theirs with what they do.
        rss: in memory, pages shared with others included.
        pss: the same, each shared page divided by the number of processes that share it.
        private: in memory and shared with nobody.
        shared_store: mapped from Ray's object store.
    """

    pid: int
    names: set[str] = field(default_factory=set)
    rss: float = 0.0
    pss: float = 0.0
    private: float = 0.0
    shared_store: float = 0.0

    def look(self) -> float:
        """Takes a sample and returns its PSS."""
        self.names.add(Path(f"/proc/{self.pid}/cmdline").read_text().replace("\0", " ").strip())
        rss = pss = private = store = 0
        in_store = False
        for line in Path(f"/proc/{self.pid}/smaps").read_text().splitlines():
            name, _, rest = line.partition(":")
            if not rest.endswith(" kB"):  # the head of a mapping, or its flags
                in_store = _STORE in line if "-" in name else in_store
                continue
            size = int(rest[:-3])
            if name == "Rss":
                rss += size
                store += size * in_store
            elif name == "Pss":
                pss += size
            elif name in ("Private_Clean", "Private_Dirty"):
                private += size
        for field_name, kib in (("rss", rss), ("pss", pss), ("private", private), ("shared_store", store)):
            setattr(self, field_name, max(getattr(self, field_name), kib * 1024 / 1e6))
        return pss * 1024 / 1e6

    def is_named(self, part: str) -> bool:
        """Whether it ever had a command line with this in it."""
        return any(part in name for name in self.names)


@dataclass
class Tree:
    """A process, its descendants as far as they were seen, and the most that all held at one moment, in MB of PSS."""

    root: Peak
    others: list[Peak]
    pss: float


def watch(process: subprocess.Popen[bytes]) -> Tree:
    """Looks at a process and its descendants until it ends."""
    peaks = {process.pid: Peak(process.pid)}
    most = 0.0
    while process.poll() is None:
        for pid in descendants(process.pid):
            peaks.setdefault(pid, Peak(pid))
        most = max(most, sum(_looks(peaks)))
        time.sleep(_GLANCE)
    root = peaks.pop(process.pid)
    return Tree(root, list(peaks.values()), most)


def _looks(peaks: dict[int, Peak]) -> Iterator[float]:
    for peak in peaks.values():
        try:
            yield peak.look()
        except OSError:  # it has ended
            continue
