"""Memory of a process and all its descendants over time, sampled from outside by a thread.

Bytes of one process are its proportional share (PSS): what it shares with others is divided by the sharers, so processes can be added up
and shared memory counts once. `file_bytes`, mapped pages of files such as libraries, are page cache that the kernel can take back; they
are in `bytes` and shown apart.
"""

import threading
import time
from dataclasses import dataclass
from types import TracebackType

import psutil


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One process at one time.

    seconds       since sampling began
    bytes         PSS: anonymous + shared + file
    unique_bytes  USS: what would be freed if this process alone ended
    shared_bytes  its share of shared memory (the slots)
    file_bytes    its share of mapped files
    """

    seconds: float
    pid: int
    bytes: int
    unique_bytes: int
    shared_bytes: int
    file_bytes: int


class Sampler:
    """Samples the process `pid` and its descendants until it ends; `samples` holds what was seen."""

    def __init__(self, pid: int, interval: float = 0.02) -> None:
        """`pid`: a child of this process."""
        self.samples: list[Sample] = []
        self._process = psutil.Process(pid)
        self._interval = interval
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.began = time.monotonic()

    def __enter__(self) -> "Sampler":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._done.set()
        self._thread.join()

    def wait(self) -> int:
        """Wait for the process; its exit status, negative for a signal."""
        return int(self._process.wait())

    @property
    def totals(self) -> list[tuple[float, int]]:
        """(seconds, bytes of all processes) of every sample."""
        sums: dict[float, int] = {}
        for sample in self.samples:
            sums[sample.seconds] = sums.get(sample.seconds, 0) + sample.bytes
        return list(sums.items())

    @property
    def peak(self) -> int:
        """The largest of the totals, 0 without samples."""
        return max((total for _, total in self.totals), default=0)

    def _sample(self) -> None:
        while not self._done.wait(self._interval):
            seconds = time.monotonic() - self.began
            try:
                processes = [self._process, *self._process.children(recursive=True)]
            except psutil.Error:
                return
            for process in processes:
                if sample := _sample(process.pid, seconds):
                    self.samples.append(sample)


def _sample(pid: int, seconds: float) -> Sample | None:
    """None where the process has ended, or may not be looked into."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
            kb = {words[0]: int(words[1]) * 1024 for words in map(str.split, rollup) if words[-1] == "kB"}
    except OSError:
        return None
    unique = kb["Private_Clean:"] + kb["Private_Dirty:"]
    return Sample(
        seconds=seconds,
        pid=pid,
        bytes=kb["Pss:"],
        unique_bytes=unique,
        shared_bytes=kb.get("Pss_Shmem:", 0),
        file_bytes=kb.get("Pss_File:", 0),
    )
