"""What an interrupted run has left, corrupted: the record, the staging folder, the lock. The next run makes the right bytes or says in one
line what is in the way; it never publishes anything else.
"""

import json
import math
import os
import random
import shutil
import signal
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import tifffile
from datasets import IMAGES, pixels
from runs import digest

from omezarr_proc import cli
from omezarr_proc.app import report
from omezarr_proc.build import passes as build
from omezarr_proc.build.attempts import Attempts
from omezarr_proc.engine.local.pool import Pool
from omezarr_proc.engine.local.process import Worker
from omezarr_proc.model.errors import OutputError
from omezarr_proc.publish.hidden import MAGIC
from omezarr_proc.publish.history import line, read
from omezarr_proc.publish.tree import ByRename
from omezarr_proc.work.tasks import Check, Task

NAME = "rgb"
FAST, ALL = 60, 500
SEEDS = [pytest.param(seed, marks=[] if seed < FAST else [pytest.mark.slow]) for seed in range(ALL)]
NUMBERS = (True, -1, 0, 1, 7, 2**31, 10**30, 10**400, 0.5, math.nan, math.inf)
ODD = (None, *NUMBERS, "", "zz", "00" * 8, [], [0], [[1, 0]], {}, {"a": 1}, [None] * 4)

Mutation = Callable[[Path, random.Random], None]
MUTATIONS: dict[str, Mutation] = {}


def mutation(change: Mutation) -> Mutation:
    MUTATIONS[change.__name__] = change
    return change


def run(source: Path, out: Path, *more: str) -> int:
    """In this process, with one worker: the record's lines come in the same order each time."""
    flags = ("--tile-size", "64", "--min-dimension", "64", "--max-workers", "1", "--quiet")
    return cli.main([str(source), "--output-dir", str(out), *flags, *more])


def stopped(folder: Path, *flags: str) -> tuple[Path, Path]:
    """An image, and what a run has left that was stopped just before publishing."""
    source = folder / "a.ome.tif"
    _, _, axes, options = IMAGES[NAME]
    tifffile.imwrite(source, pixels(NAME), ome=True, metadata={"axes": axes}, **options)
    run_and_stop(source, folder / "out", *flags)
    return source, folder / "out"


def run_and_stop(source: Path, out: Path, *flags: str) -> None:
    """A run that is stopped just before publishing."""

    def stop(*_: object) -> bool:
        raise OutputError("stopped")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ByRename, "publish", stop)
        assert run(source, out, *flags) == 73
    assert {path.name for path in out.iterdir()} == {".a.ome.zarr.partial", ".a.ome.zarr.record"}


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, str]]:
    """The same, and what an undisturbed run makes."""
    folder = tmp_path_factory.mktemp("left")
    source, out = stopped(folder)
    assert run(source, folder / "undisturbed") == 0
    return source, out, digest(folder / "undisturbed")


def test_what_another_version_has_begun_is_gone_on_with(tmp_path: Path) -> None:
    """The version is told in the dataset, and decides nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("omezarr_proc.build.dataset.__version__", "0.1.0")
        patch.setattr("omezarr_proc.ngff.attributes.__version__", "0.1.0")
        source, out = stopped(tmp_path)
    made = {path.relative_to(out).parts[1:]: path.stat().st_mtime_ns for path in chunks(out)}
    assert run(source, out) == 0
    assert {path: (out / "a.ome.zarr").joinpath(*path).stat().st_mtime_ns for path in made} == made
    assert run(source, tmp_path / "undisturbed") == 0
    assert digest(out) == digest(tmp_path / "undisturbed")


def record(out: Path) -> Path:
    return out / ".a.ome.zarr.record"


def chunks(out: Path) -> list[Path]:
    return sorted(path for path in (out / ".a.ome.zarr.partial").glob("*/c/*/*/*") if path.is_file())


def lines(out: Path) -> list[bytes]:
    return record(out).read_bytes()[len(MAGIC) :].splitlines(keepends=True)


def write_lines(out: Path, changed: list[bytes]) -> None:
    record(out).write_bytes(MAGIC + b"".join(changed))


@mutation
def record_byte(out: Path, choice: random.Random) -> None:
    data = bytearray(record(out).read_bytes())
    data[choice.randrange(len(data))] ^= choice.randrange(1, 256)
    record(out).write_bytes(data)


@mutation
def record_cut(out: Path, choice: random.Random) -> None:
    data = record(out).read_bytes()
    record(out).write_bytes(data[: choice.randrange(len(data))])


@mutation
def record_zeros(out: Path, choice: random.Random) -> None:
    data = bytearray(record(out).read_bytes())
    begin = choice.randrange(len(data))
    data[begin : begin + 512] = bytes(len(data[begin : begin + 512]))
    record(out).write_bytes(data)


@mutation
def record_lines(out: Path, choice: random.Random) -> None:
    """Lost, twice, or in another order."""
    found = lines(out)
    a, b = choice.sample(range(len(found)), 2)
    match choice.randrange(3):
        case 0:
            del found[a]
        case 1:
            found.insert(a, found[b])
        case 2:
            found[a], found[b] = found[b], found[a]
    write_lines(out, found)


@mutation
def record_content(out: Path, choice: random.Random) -> None:
    """One value of a fact is another, and the line's CRC is right. Extremes that could be true are not told from those that are."""
    found = lines(out)
    at = choice.randrange(len(found))
    fact = json.loads(found[at][9:])
    place = choice.randrange(len(fact))
    odd = choice.choice([value for value in ODD if value not in (None, [None] * 4)] if (fact[0], place) == ("unit", 7) else ODD)
    if choice.random() < 0.2:
        fact = choice.choice(ODD)
    else:
        fact[place] = odd
    text = json.dumps(fact).encode()
    found[at] = b"%08x %s\n" % (zlib.crc32(text), text)
    write_lines(out, found)


@mutation
def record_without_checksums(out: Path, choice: random.Random) -> None:
    """As an older version has written it, with a chunk that is cut off."""
    found = []
    for old in lines(out):
        fact = json.loads(old[9:])
        found.append(line(fact[:9] if fact[0] == "unit" else fact))
    write_lines(out, found)
    path = choice.choice(chunks(out))
    path.write_bytes(path.read_bytes()[: choice.randrange(path.stat().st_size)])


@mutation
def chunk_cut(out: Path, choice: random.Random) -> None:
    path = choice.choice(chunks(out))
    path.write_bytes(path.read_bytes()[: choice.choice((0, choice.randrange(path.stat().st_size)))])


@mutation
def chunk_longer(out: Path, choice: random.Random) -> None:
    path = choice.choice(chunks(out))
    path.write_bytes(path.read_bytes() + choice.randbytes(choice.randrange(1, 5000)))


@mutation
def chunk_bit(out: Path, choice: random.Random) -> None:
    path = choice.choice(chunks(out))
    data = bytearray(path.read_bytes())
    data[choice.randrange(len(data))] ^= 1 << choice.randrange(8)
    path.write_bytes(data)


@mutation
def chunk_zeros(out: Path, choice: random.Random) -> None:
    """The right size and no content, as file systems leave it after a power cut."""
    path = choice.choice(chunks(out))
    path.write_bytes(bytes(path.stat().st_size))


@mutation
def chunk_gone(out: Path, choice: random.Random) -> None:
    for path in choice.sample(found := chunks(out), choice.randrange(1, len(found))):
        path.unlink()


@mutation
def chunks_swapped(out: Path, choice: random.Random) -> None:
    a, b = choice.sample(chunks(out), 2)
    first = a.read_bytes()
    a.write_bytes(b.read_bytes())
    b.write_bytes(first)


@mutation
def chunk_of_another_kind(out: Path, choice: random.Random) -> None:
    """A folder, a pipe or a link where a chunk should be."""
    path, other = choice.sample(chunks(out), 2)
    path.unlink()
    match choice.randrange(3):
        case 0:
            path.mkdir()
        case 1:
            os.mkfifo(path)
        case 2:
            path.symlink_to(other)


@mutation
def folder_gone(out: Path, choice: random.Random) -> None:
    """Or a file in its place."""
    folder = choice.choice(sorted(path for path in (out / ".a.ome.zarr.partial").rglob("*") if path.is_dir()))
    shutil.rmtree(folder)
    if choice.random() < 0.5:
        folder.write_bytes(b"a file")


@mutation
def staging_gone(out: Path, choice: random.Random) -> None:
    shutil.rmtree(out / ".a.ome.zarr.partial")
    if choice.random() < 0.5:
        (out / ".a.ome.zarr.partial").write_bytes(b"a file")


@mutation
def metadata(out: Path, choice: random.Random) -> None:
    path = choice.choice(sorted((out / ".a.ome.zarr.partial").rglob("zarr.json")))
    path.write_bytes(choice.choice((b"", b"{}", path.read_bytes()[:-20], choice.randbytes(100))))


@mutation
def lock(out: Path, choice: random.Random) -> None:
    """Nobody holds it."""
    data = choice.choice((b"", bytes(64), b"{}", b'{"pid": ', b'{"pid": -1}\n', b'{"pid": 1e999, "host": []}\n', choice.randbytes(50)))
    (out / choice.choice((".a.ome.zarr.lock", ".a.ome.zarr.owner"))).write_bytes(data)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_right_bytes_or_one_clear_line(
    left: tuple[Path, Path, dict[str, str]], tmp_path: Path, seed: int, capfd: pytest.CaptureFixture[str]
) -> None:
    source, state, expected = left
    choice = random.Random(seed)
    out = tmp_path / "out"
    shutil.copytree(state, out)
    if choice.random() < 0.5:  # less was finished
        found = lines(out)
        write_lines(out, found[: choice.randrange(2, len(found))])
    name = list(MUTATIONS)[seed % len(MUTATIONS)]
    MUTATIONS[name](out, choice)
    capfd.readouterr()
    status = run(source, out)
    shown = capfd.readouterr().err
    assert "Traceback" not in shown and "unexpected" not in shown, (name, shown)
    published = {path: content for path, content in digest(out).items() if not path.startswith(".")}
    if status == 0:
        assert published == expected, (name, shown)
        return
    assert status == 73
    assert [line for line in shown.splitlines() if " ERROR " in line and ".a.ome.zarr" in line] == shown.splitlines()[-1:], (name, shown)
    assert published == {}


def test_every_mutation_is_in_the_sample_that_always_runs() -> None:
    assert 3 * len(MUTATIONS) <= FAST


def test_the_log_says_how_many_chunks_were_not_as_recorded(
    left: tuple[Path, Path, dict[str, str]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source, state, expected = left
    out = tmp_path / "out"
    shutil.copytree(state, out)
    for path, data in zip(chunks(out)[::7], (b"", b"short", None), strict=False):
        path.write_bytes(path.read_bytes()[::-1] if data is None else data)
    assert run(source, out) == 0
    (line,) = capfd.readouterr().err.splitlines()
    assert "WARNING" in line
    assert line.endswith("a.ome.tif: 3 chunks of an earlier run are not as it has stored them: they are made again")
    assert digest(out) == expected


@pytest.mark.parametrize("version", ["old", "new"])
def test_what_is_as_recorded_is_not_made_again(left: tuple[Path, Path, dict[str, str]], tmp_path: Path, version: str) -> None:
    """Nor is what an older version has recorded, without checksums."""
    source, state, expected = left
    out = tmp_path / "out"
    shutil.copytree(state, out)
    if version == "old":
        write_lines(out, [line(fact[:9]) if (fact := json.loads(text[9:]))[0] == "unit" else text for text in lines(out)])
    before = {path.relative_to(out).parts[1:]: path.stat().st_mtime_ns for path in chunks(out)}
    assert run(source, out) == 0
    assert digest(out) == expected
    assert {path: (out / "a.ome.zarr").joinpath(*path).stat().st_mtime_ns for path in before} == before


def test_a_worker_that_dies_while_it_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one goes on, and nothing counts twice."""
    source, flags = tmp_path / "a.tif", ("--initial-downsample", "1", "--tile-size", "1024", "--min-dimension", "4096")
    tifffile.imwrite(source, np.random.default_rng(0).integers(0, 255, (4900, 4900), "uint8"), tile=(1024, 1024))  # 24 MB: 3 checks
    run_and_stop(source, tmp_path / "out", *flags)
    assert run(source, tmp_path / "undisturbed", *flags) == 0
    submit, killed, summaries = Pool.submit, [], []

    def kill_third(pool: Pool, worker: Worker, task: Task) -> None:
        submit(pool, worker, task)
        killed.append(task)
        if len(killed) == 3:
            os.kill(worker.pid, signal.SIGKILL)

    monkeypatch.setattr(Pool, "submit", kill_third)
    monkeypatch.setattr(report.Report, "finish", lambda report, summary: summaries.append(summary))
    assert run(source, tmp_path / "out", *flags) == 0
    assert isinstance(killed[2], Check)
    assert digest(tmp_path / "out") == digest(tmp_path / "undisturbed")
    (summary,) = summaries
    assert summary.stored_bytes == sum(path.stat().st_size for path in (tmp_path / "out").glob("*/*/c/*/*/*"))


def test_without_time_to_read_the_sizes_are_checked(
    left: tuple[Path, Path, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """So that a run that has a deadline always gets further than the one before."""
    source, state, expected = left
    out = tmp_path / "out"
    shutil.copytree(state, out)
    chunks(out)[3].write_bytes(b"short")
    take_over = build.Build.take_over
    monkeypatch.setattr(build.Build, "take_over", lambda built, until: take_over(built, until=0.0))
    assert run(source, out) == 0
    lost, unread = capfd.readouterr().err.splitlines()
    assert lost.endswith("1 chunks of an earlier run are not as it has stored them: they are made again")
    assert "a.ome.tif: no time to read back " in unread
    assert digest(out) == expected


@pytest.mark.parametrize("chunking", ["bundled", "per-channel"])
@pytest.mark.parametrize("whole", [True, False])
def test_every_chunk_has_its_checksum_in_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunking: str, whole: bool) -> None:
    """Whether one worker makes a band, or all share it."""
    if not whole:
        plan = Attempts.plan
        monkeypatch.setattr(Attempts, "plan", lambda *given: replace(plan(*given), undivided=False))
    _, state = stopped(tmp_path, "--channel-chunking", chunking)
    history = read(record(state).read_bytes(), json.loads(lines(state)[0][9:])[2])
    assert history is not None
    found = {}
    for unit in history.units:
        entries = iter(unit.checksums[i : i + 8] for i in range(0, len(unit.checksums), 8))
        for y, x, c in product(range(*unit.rows), range(*unit.columns), range(1 if chunking == "bundled" else 3)):
            found[f"{unit.level}/c/{c}/{y}/{x}"] = next(entries)
        assert next(entries, None) is None
    staging = state / ".a.ome.zarr.partial"
    data = {str(path.relative_to(staging)): path.read_bytes() for path in chunks(state)}
    assert found == {name: struct.pack("<II", len(content), crc32c(content)) for name, content in data.items()}
    assert sum(unit.bytes for unit in history.units) == sum(map(len, data.values()))


def crc32c(data: bytes) -> int:
    """Bit by bit, as RFC 3720 has it: the reflected polynomial 0x1EDC6F41."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x82F63B78 * (crc & 1)
    return crc ^ 0xFFFFFFFF
