"""The program in a process of its own, what it leaves behind, and the undisturbed run that it is held against."""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import tifffile
from plates import write_plate

ROOT = Path(__file__).parents[2]
TOOLS = ROOT.parent / "shared/tools/runtime"
SANDBOX = TOOLS / "in_cgroup.sh"
MARK = "OMEZARR_PROC_TEST_RUN"
# Many small chunks, so that there are many moments.
FLAGS = ("--tile-size", "128", "--quiet")
# The program with a record that is written every 30 ms instead of every 2 s, so that a run of a second has something to go on from,
# and paced, so that a moment in the middle is still there when a busy machine has noticed it.
EAGER = """
import functools, sys, time
from omezarr_proc.cli import main
from omezarr_proc.publish.record import Record
add = Record.add
def paced(record, units):
    time.sleep(0.01)
    add(record, units)
Record.add = paced
Record.open = staticmethod(functools.partial(Record.open, interval=0.03))
sys.exit(main())
"""
EAGER_COMMAND = (sys.executable, "-c", EAGER)
# The program that dies as soon as it has noted three times on disk what is finished.
DYING = """
import itertools, os, signal, sys
from omezarr_proc.cli import main
from omezarr_proc.publish.record import Record
add, times = Record.add, itertools.count(1)
def last(record, units):
    add(record, units)
    if next(times) == 3:
        record.flush()
        os.kill(os.getpid(), signal.SIGKILL)
Record.add = last
sys.exit(main())
"""
DYING_COMMAND = (sys.executable, "-c", DYING)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
needs_shared = pytest.mark.skipif(not SANDBOX.exists(), reason="needs the shared tools beside the repository")


def sandboxed(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test that runs in a cgroup of the shared tools."""
    return pytest.mark.root(pytest.mark.shared(needs_root(needs_shared(test))))


def slide(path: Path, size: int = 3000) -> Path:
    """A tiled RGB slide of `size` x `size` pixels; 3000 are half a second of work for two cores."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[0:size, 0:size]
    smooth = (np.sin(x / 37) + np.cos(y / 53)) * 60 + 120
    pixels = np.clip(smooth[..., None] + rng.normal(0, 12, (size, size, 3)), 0, 255).astype(np.uint8)
    tifffile.imwrite(path, pixels, tile=(256, 256), compression="deflate", photometric="rgb")
    return path


def stack(path: Path, planes: int = 40, size: int = 512) -> Path:
    """A z-stack of small planes."""
    pixels = np.random.default_rng(2).integers(0, 4000, (planes, size, size), dtype=np.uint16)
    tifffile.imwrite(path, pixels, ome=True, metadata={"axes": "ZYX"}, photometric="minisblack")
    return path


def volume(path: Path, planes: int = 80, size: int = 512) -> Path:
    """An isotropic volume, a compressed strip a plane: halved in z, in chunks of 16 planes."""
    pixels = np.random.default_rng(2).integers(0, 4000, (planes, size, size), dtype=np.uint16)
    sizes = {f"PhysicalSize{axis}": 1.0 for axis in "XYZ"}
    options = {"rowsperstrip": size, "compression": "deflate", "photometric": "minisblack"}
    tifffile.imwrite(path, pixels, ome=True, metadata={"axes": "ZYX", **sizes}, **options)
    return path


def digest(folder: Path) -> dict[str, str]:
    """Path and content of every file below `folder`, hidden ones too."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def processes(mark: str) -> dict[int, str]:
    """The living processes (zombies too: somebody has to reap them) with `mark` in their environment, and what they are called."""
    found = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and mark.encode() in (entry / "environ").read_bytes():
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return found


@dataclass
class Program:
    """One run of the program; `command` instead of the plain command line."""

    arguments: Sequence[str | Path]
    command: Sequence[str | Path] = (sys.executable, "-m", "omezarr_proc")
    environ: dict[str, str] = field(default_factory=dict)
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __enter__(self) -> "Program":
        self.begun = time.monotonic()
        self.process = subprocess.Popen(
            [*map(str, self.command), *map(str, self.arguments)],
            env=os.environ | {MARK: self.mark, "PYTHONPATH": str(ROOT)} | self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return self

    def __exit__(self, *error: object) -> None:
        for pid in processes(self.mark):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def nursery(self) -> int | None:
        """The nursery's process id."""
        return next((pid for pid in processes(self.mark) if self._parent(pid) == self.process.pid), None)

    def workers(self) -> list[int]:
        """The workers' process ids."""
        nursery = self.nursery()
        return [pid for pid in processes(self.mark) if nursery is not None and self._parent(pid) == nursery]

    def _parent(self, pid: int) -> int:
        try:
            return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return 0

    def wait_for(self, ready: Callable[[], object], timeout: float = 120.0) -> bool:
        """Wait until `ready` or the end of the program; returns whether it was ready."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and self.process.poll() is None:
            if ready():
                return True
            time.sleep(0.002)
        return False

    def finish(self, timeout: float = 120.0) -> tuple[int, str]:
        """Exit status and everything it has printed. Fails the test where the program hangs."""
        try:
            text, _ = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            pytest.fail(f"hangs after {timeout} s; its processes: {processes(self.mark)}")
        return self.process.returncode, text

    def left(self, patience: float = 1.0) -> dict[int, str]:
        """The processes that are left `patience` seconds after the end."""
        deadline = time.monotonic() + patience
        while (found := processes(self.mark)) and time.monotonic() < deadline:
            time.sleep(0.01)
        return found


def run(*arguments: str | Path, command: Sequence[str | Path] = (sys.executable, "-m", "omezarr_proc"), **environ: str) -> tuple[int, str]:
    """Run the program to its end: exit status and what it has printed; nothing may be left of it."""
    with Program(arguments, command, environ) as program:
        outcome = program.finish()
        assert program.left() == {}
        return outcome


@dataclass(frozen=True)
class Reference:
    """A source, the digest of the dataset that an undisturbed run makes of it, and how long that took."""

    source: Path
    expected: dict[str, str]
    seconds: float
    flags: tuple[str, ...] = FLAGS

    def check_nothing_published(self, out: Path) -> None:
        """Under the final name there is nothing, or all of it (the fault came too late)."""
        dataset = out / f"{self.source.name.partition('.')[0]}.ome.zarr"
        assert not dataset.exists() or digest(dataset) == self.expected

    def check_done(self, out: Path) -> None:
        """The dataset is there byte for byte, and nothing else, hidden or not."""
        name = f"{self.source.name.partition('.')[0]}.ome.zarr"
        assert os.listdir(out) == [name]
        assert digest(out / name) == self.expected

    def complete(self, out: Path, *flags: str) -> str:
        """Run undisturbed and check; returns what was printed."""
        status, text = run(self.source, "--output-dir", out, *self.flags, *flags)
        assert status == 0, text
        self.check_done(out)
        return text


def make_reference(source: Path, out: Path, *flags: str) -> Reference:
    """Convert without any disturbance."""
    begun = time.monotonic()
    status, text = run(source, "--output-dir", out, *FLAGS, *flags)
    assert status == 0, text
    seconds = time.monotonic() - begun
    return Reference(source, digest(out / f"{source.name.partition('.')[0]}.ome.zarr"), seconds, (*FLAGS, *flags))


@pytest.fixture(scope="session")
def slide_run(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    folder = tmp_path_factory.mktemp("slide")
    return make_reference(slide(folder / "slide.ome.tif"), folder / "out")


@pytest.fixture(scope="session")
def shards_run(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    folder = tmp_path_factory.mktemp("shards")
    return make_reference(slide(folder / "slide.ome.tif"), folder / "out", "--sharding", "on")


@pytest.fixture(scope="session")
def stack_run(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    folder = tmp_path_factory.mktemp("stack")
    return make_reference(stack(folder / "stack.ome.tif"), folder / "out")


@pytest.fixture(scope="session")
def volume_run(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    folder = tmp_path_factory.mktemp("volume")
    return make_reference(volume(folder / "volume.ome.tif"), folder / "out")


@pytest.fixture(scope="session")
def plate_run(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    folder = tmp_path_factory.mktemp("plate")
    write_plate(folder / "plate.ome.tif", [(row, column, 2) for row in range(3) for column in range(3)])
    return make_reference(folder / "plate.ome.tif", folder / "out")


def files_in(folder: Path) -> int:
    """How many files there are below a folder, as it is now."""
    return sum(len(files) for _, _, files in os.walk(folder))


def sandbox(options: Sequence[str], command: Sequence[str | Path], report: Path, **popen: object) -> tuple[int, str, dict[str, object]]:
    """Run in a cgroup: exit status, output, and the sandbox's report. Skips where no cgroup can be made."""
    done = subprocess.run(
        [SANDBOX, *options, f"json={report}", f"env=PYTHONPATH={ROOT}", "--", *command],
        capture_output=True,
        text=True,
        cwd=ROOT,
        **popen,  # type: ignore[call-overload]
    )
    if done.returncode == 125:
        pytest.skip(f"no cgroup can be made here: {done.stderr.strip()[-200:]}")
    return done.returncode, done.stdout + done.stderr, json.loads(report.read_text())
