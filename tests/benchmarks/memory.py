"""Memory of a process and its descendants, sampled while they run (Linux)."""

import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.orchestrator.command import descendants

_GLANCE = 0.2  # seconds between samples


@dataclass
class Peak:
    """Peak memory of one process, in MB; each kind peaks at its own moment.

    Args:
        pid: Process ID.
        names: Its command lines; Ray's workers change theirs with their current task.
        rss: Resident memory, shared pages included.
        pss: Resident memory, with each shared page divided by the number of processes that share it.
        anonymous: Resident memory without a backing file, including pages still shared with a fork's parent.
        private: Resident memory that no other process shares.
        shared_store: Resident part of the shared memory of Ray's object store.
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
        """Whether any of its command lines contains `part`."""
        return any(part in name for name in self.names)


@dataclass
class Tree:
    """A process, its observed descendants, and the peak of their total PSS, in MB."""

    root: Peak
    others: list[Peak]
    pss: float


def watch(process: subprocess.Popen[bytes]) -> Tree:
    """Samples a process and its descendants until it ends."""
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
        except (OSError, KeyError):  # the process has ended, and its parent may not have waited for it yet
            continue


def sizes(file: str) -> dict[str, float]:
    """The sizes in a file below /proc, in MB by name."""
    lines = [line.split() for line in Path(file).read_text().splitlines() if line.endswith(" kB")]
    return {name.removesuffix(":"): int(kib) * 1024 / 1e6 for name, kib, _ in lines}
