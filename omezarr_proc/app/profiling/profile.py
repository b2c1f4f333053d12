"""One conversion under a memory limit, watched: run in a cgroup of its own where this user may make one, sampled all the while."""

import dataclasses
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from omezarr_proc.app.profiling.sampling import Sampler
from omezarr_proc.app.standard import say
from omezarr_proc.host.cgroups import cgroups

MB = 1 << 20


@dataclasses.dataclass(kw_only=True)
class Profile:
    """One conversion under one limit; bytes of all processes together.

    projected_bytes  the plan's peak, 0 where no plan was made
    cgroup_bytes     the kernel's own highest count, page cache of the input and the output included; None without a cgroup
    phases           (seconds since the begin, name)
    status           exit status; negative for a signal
    """

    limit_bytes: int
    projected_bytes: int
    peak_bytes: int
    peak_file_bytes: int
    cgroup_bytes: int | None
    seconds: float
    status: int
    phases: list[tuple[float, str]]

    @property
    def fault(self) -> str | None:
        """What is wrong, None where nothing is."""
        if self.status:
            return f"the conversion ended with status {self.status}"
        if self.peak_bytes > self.limit_bytes:
            return f"the peak of {self.peak_bytes // MB} MB is above the limit"
        if self.peak_bytes > self.projected_bytes:
            return f"the peak of {self.peak_bytes // MB} MB is above the projected {self.projected_bytes // MB} MB"
        return None


def profile(source: Path, output: Path, limit_mb: int, flags: Sequence[str] = ()) -> tuple[Profile, Sampler]:
    """Convert `source` once and watch it."""
    command = [sys.executable, "-m", "omezarr_proc", "--existing", "force", "--log-level", "DEBUG", "--log-format", "json"]
    command += ["--memory-limit-mb", str(limit_mb), "--output-dir", str(output), *flags, str(source)]
    with _cgroup(limit_mb * MB) as group:
        if group:
            command = ["/bin/sh", "-c", 'echo $$ > "$0"/cgroup.procs && exec "$@"', str(group), *command]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        messages: list[tuple[float, dict[str, Any]]] = []
        with Sampler(process.pid) as sampler:
            listener = threading.Thread(target=_listen, args=(process.stderr, messages, sampler.began), daemon=True)
            listener.start()
            status = process.wait()
            seconds = time.monotonic() - sampler.began
        listener.join()  # ends with the last of the processes
        process.stderr.close()
        highest = _highest(group) if group else None
    phases = [(at, str(message["phase"])) for at, message in messages if "phase" in message]
    projected = max((int(message["projected_bytes"]) for _, message in messages if "projected_bytes" in message), default=0)
    files = max((sum(s.file_bytes for s in sampler.samples if s.seconds == at) for at, _ in sampler.totals), default=0)
    return Profile(
        limit_bytes=limit_mb * MB,
        projected_bytes=projected,
        peak_bytes=sampler.peak,
        peak_file_bytes=files,
        cgroup_bytes=highest,
        seconds=seconds,
        status=status,
        phases=phases,
    ), sampler


def _listen(stderr: IO[str], messages: list[tuple[float, dict[str, Any]]], began: float) -> None:
    for line in stderr:
        try:
            message = json.loads(line)
        except ValueError:
            message = {"level": "ERROR", "message": line.rstrip()}
        messages.append((time.monotonic() - began, message))
        if message.get("level") in ("WARNING", "ERROR", "CRITICAL"):
            say(f"{message.get('message')}\n")


@contextmanager
def _cgroup(limit: int) -> Iterator[Path | None]:
    """A memory cgroup with a limit, below the own one; None where this user may not make one."""
    for parent in cgroups(Path("/")):
        group = parent.path / f"omezarr_proc-{os.getpid()}"
        knob = group / ("memory.max" if parent.version == 2 else "memory.limit_in_bytes")
        if "memory" not in parent.controllers:
            continue
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            knob.write_text(str(limit))
            (group / "cgroup.procs").open("w").close()
        except OSError:  # version 2 without the controller in its parent's subtree_control
            group.rmdir()
            continue
        try:
            yield group
        finally:
            for _ in range(100):  # the last process leaves it a moment after it has ended
                try:
                    group.rmdir()
                    break
                except OSError:
                    time.sleep(0.02)
        return
    yield None


def _highest(group: Path) -> int | None:
    for name in ("memory.peak", "memory.max_usage_in_bytes"):
        try:
            return int((group / name).read_text())
        except (OSError, ValueError):
            continue
    return None
