"""A fault at the n-th call of a run on its storage, for every n: the old dataset or the new one, one clear line, nothing left for ever."""

import errno
import itertools
import os
import random
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import tifffile
from iofaults import COUNT, SHORT, Fault, Outcome, Runner, runner
from runs import digest

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the shim is for Linux"),
    pytest.mark.skipif(not shutil.which((sysconfig.get_config_var("CC") or "cc").split()[0]), reason="needs a C compiler"),
]

FLAGS = ("--tile-size", "64", "--min-dimension", "64", "--initial-downsample", "1", "--max-workers", "1", "--quiet")
STARTS = ("fresh", "replace", "resume")
NAME = "a.ome.zarr"
# Error and whether it stays. EINTR that stays would keep Python trying for ever, as it should.
FAULTS = [(error, sticky) for error in (errno.EIO, errno.ENOSPC, SHORT) for sticky in (False, True)] + [(errno.EINTR, False)]


@dataclass(frozen=True)
class Bench:
    """What the runs begin with (`starts`: an output folder, and how many calls an undisturbed run makes there) and should end with.

    `finished` is what runs have left that the next one has made into the dataset: where the same is left again, another would do the same.
    """

    folder: Path
    source: Path
    runner: Runner
    layout: str
    starts: dict[str, tuple[Path, int]]
    old: dict[str, str]
    new: dict[str, str]
    finished: set[frozenset[tuple[str, str]]] = field(default_factory=set)

    def disturbed(self, start: str, fault: Fault) -> bool:
        """One run with a fault, then one without; returns whether there was the call that should fail."""
        out = self.folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(self.starts[start][0], out)
        layout = "--output-layout", self.layout
        outcome = convert(self.runner, self.folder, self.source, out, fault, *layout)
        told = f"{start}, {fault}: {outcome}"
        assert outcome.status in (0, 1, 71, 73), told
        assert "Traceback" not in outcome.text and "unexpected" not in outcome.text, told
        warnings = [line for line in outcome.text.splitlines() if " WARNING " in line]  # of what cannot be read back, before the rest fails
        assert outcome.status == 0 or len(outcome.text.splitlines()) - len(warnings) == 1, told
        found = dataset(out, self.layout)
        if self.layout == "root" and start == "replace" and outcome.status in (1, 71, 73) and found is None:
            found = self.old  # its root has gone, and the next run finishes
        assert found == self.new or (outcome.status in (1, 71, 73) and found == (self.old if start == "replace" else None)), told
        if (left := state(out)) in self.finished:
            return bool(outcome.hit)
        again = convert(self.runner, self.folder, self.source, out, Fault("*", 0, COUNT), *layout)
        assert again.status == 0, f"{told}; then {again}"
        assert dataset(out, self.layout) == self.new, told
        assert not [name for name in os.listdir(out) if name.startswith(".")], told
        self.finished.add(left)
        return bool(outcome.hit)


def dataset(out: Path, layout: str) -> dict[str, str] | None:
    """Path and content of every file of the dataset; None where there is none, as there is not without a root."""
    folder = out / NAME if layout == "folders" else out
    return {path: held for path, held in digest(folder).items() if path[0] != "."} if (folder / "zarr.json").exists() else None


def state(out: Path) -> frozenset[tuple[str, str]]:
    """All that is in a folder: files with their content, and folders."""
    return frozenset([*digest(out).items(), *((str(path.relative_to(out)), "a folder") for path in out.rglob("*") if path.is_dir())])


def convert(runner: Runner, folder: Path, source: Path, out: Path, fault: Fault, *flags: str) -> Outcome:
    out.mkdir(exist_ok=True)
    return runner.run(folder, [source, "--output-dir", out, *FLAGS, *flags], fault)


@pytest.fixture(scope="module", params=["folders", "root"])
def layout(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, layout: str) -> Iterator[Bench]:
    folder, kept = tmp_path_factory.mktemp("faults"), tmp_path_factory.mktemp("kept")
    source = folder / "a.ome.tif"
    pixels = np.random.default_rng(1).integers(0, 255, (200, 150), dtype=np.uint8)
    tifffile.imwrite(source, pixels, tile=(64, 64), compression="deflate")
    with runner(kept) as runs:
        out = folder / "out"
        fresh, replace, resume = (kept / name for name in STARTS)
        fresh.mkdir()
        flags = "--output-layout", layout
        assert convert(runs, folder, source, replace, Fault("*", 0, COUNT), *flags, "--compression", "lz4").status == 0
        # renames of zarr.json come before the end, and after most of the chunks
        assert convert(runs, kept, source, resume, Fault("rename", 1, errno.ENOSPC, sticky=True), *flags).status == 73
        assert {f".{NAME}.partial", ".ome.zarr.partial"} & set(os.listdir(resume))
        starts = {}
        for name, start in zip(STARTS, (fresh, replace, resume), strict=True):
            shutil.rmtree(out, ignore_errors=True)
            shutil.copytree(start, out)
            undisturbed = convert(runs, folder, source, out, Fault("*", 0, COUNT), *flags)
            assert undisturbed.status == 0
            starts[name] = start, undisturbed.calls
        old, new = dataset(replace, layout), dataset(out, layout)
        assert old is not None and new is not None
        yield Bench(folder, source, runs, layout, starts, old, new)


@pytest.mark.parametrize("seed", range(9))
def test_a_fault_at_any_call(bench: Bench, seed: int) -> None:
    start, (error, sticky) = STARTS[seed % 3], FAULTS[seed % len(FAULTS)]
    bench.disturbed(start, Fault("*", random.Random(seed).randint(1, bench.starts[start][1]), error, sticky))


@pytest.mark.slow
@pytest.mark.parametrize(("error", "sticky"), FAULTS)
@pytest.mark.parametrize("start", STARTS)
def test_a_fault_at_every_call(bench: Bench, start: str, error: int, sticky: bool) -> None:
    nths = itertools.count(1)  # a short transfer is of reads and writes alone, so there are fewer of these than calls
    reached = sum(itertools.takewhile(bool, (bench.disturbed(start, Fault("*", nth, error, sticky)) for nth in nths)))
    assert reached > bench.starts[start][1] / 4


@pytest.mark.parametrize("layout", ["folders"], indirect=True)
def test_storage_that_fails_under_the_source_is_named(bench: Bench, tmp_path: Path) -> None:
    reads = convert(bench.runner, bench.source, bench.source, tmp_path, Fault("read", 0, COUNT)).calls
    shutil.rmtree(tmp_path / NAME)
    outcome = convert(bench.runner, bench.source, bench.source, tmp_path, Fault("read", reads, errno.EIO))
    assert outcome.status == 1
    assert outcome.text.endswith("a.ome.tif: image 0, plane t=0 c=0 z=0: the file cannot be read (Input/output error);"
                                 " check its storage, then run again\n")  # fmt: skip


@pytest.mark.parametrize("layout", ["folders"], indirect=True)
def test_a_staging_folder_that_cannot_be_listed_is_named(bench: Bench, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(bench.starts["resume"][0], out)
    outcome = convert(bench.runner, out / f".{NAME}.partial", bench.source, out, Fault("opendir", 1, errno.EIO))
    assert outcome.status == 73
    assert outcome.text.endswith(f".{NAME}.partial: cannot make the output: Input/output error\n")


@pytest.mark.parametrize("layout", ["folders"], indirect=True)
def test_storage_that_fails_under_the_preview_is_named(bench: Bench, tmp_path: Path) -> None:
    done = convert(bench.runner, bench.folder, bench.source, tmp_path, Fault("*", 0, COUNT))
    assert done.status == 0
    level = tmp_path / NAME / "0" / "zarr.json"
    nth = convert(bench.runner, level, bench.source, tmp_path, Fault("read", 0, COUNT), "--preview", "1").calls
    (tmp_path / f"{NAME}.png").unlink()
    for last in range(1, nth + 1):
        outcome = convert(bench.runner, level, bench.source, tmp_path, Fault("read", last, errno.EIO, sticky=True), "--preview", "1")
        assert outcome.status in (1, 73)
        assert "unexpected" not in outcome.text and len(outcome.text.splitlines()) == 1
        assert "Input/output error" in outcome.text
