"""What a process and all that descend from it hold in memory, looked at while they run (Linux)."""

import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.orchestrator.command import descendants

_GLANCE = 0.2  # seconds between looks


@dataclass
class Peak:
    """The most that one process was seen to hold, in MB, each at its own moment.

    Args:
        pid: of the process.
        names: its command lines; Ray's workers change theirs with what they do.
        rss: in memory, pages shared with others included.
        pss: the same, each shared page divided by the number of processes that share it.
        anonymous: in memory and of no file, whether or not it still shares it with a process that it was forked from.
        private: in memory and shared with nobody.
        shared_store: of the shared memory that Ray's object store lies in.
    """

    pid: int
    names: set[str] = field(default_factory=set)
    rss: float = 0.0
    pss: float = 0.0
    anonymous: float = 0.0
    private: float = 0.0
    shared_store: float = 0.0

    def look(self) -> float:
        """Takes a sample and returns its PSS."""
        self.names.add(Path(f"/proc/{self.pid}/cmdline").read_text().replace("\0", " ").strip())
        held, status = sizes(f"/proc/{self.pid}/smaps_rollup"), sizes(f"/proc/{self.pid}/status")
        self.rss, self.pss = max(self.rss, held["Rss"]), max(self.pss, held["Pss"])
        self.private = max(self.private, held["Private_Clean"] + held["Private_Dirty"])
        self.anonymous = max(self.anonymous, status["RssAnon"])
        self.shared_store = max(self.shared_store, status["RssShmem"])
        return held["Pss"]

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
        except (OSError, KeyError):  # it has ended, and perhaps nobody has waited for it yet
            continue


def sizes(file: str) -> dict[str, float]:
    """The lines of a file below /proc that give a size, in MB."""
    lines = [line.split() for line in Path(file).read_text().splitlines() if line.endswith(" kB")]
    return {name.removesuffix(":"): int(kib) * 1024 / 1e6 for name, kib, _ in lines}
