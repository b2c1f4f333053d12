"""Storage that fails: full, read-only, gone, errors that pass. What is finished is kept, others are tried, the message says it."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from runs import (
    EAGER_COMMAND,
    FLAGS,
    ROOT,
    TOOLS,
    Program,
    Reference,
    digest,
    files_in,
    needs_root,
    needs_shared,
    run,
    sandbox,
    sandboxed,
    stack,
    stack_run,
)

from omezarr_proc.work.filing import MAX_THREADS

__all__ = ["stack_run"]  # fixtures

PROGRAM = (sys.executable, "-m", "omezarr_proc")
# The folders and (empty) files of the first folder made anew in the last one, by so many threads, a folder each.
SAME_TREE = """
import os, sys
from concurrent.futures import ThreadPoolExecutor
tree, threads, out = sys.argv[1:]
def make(found):
    folder = os.path.join(out, os.path.relpath(found[0], tree))
    os.makedirs(folder, exist_ok=True)
    for name in found[2]:
        open(os.path.join(folder, name), "wb").close()
with ThreadPoolExecutor(int(threads)) as pool:
    list(pool.map(make, os.walk(tree)))
"""


@pytest.mark.root
@pytest.mark.shared
@needs_root
@needs_shared
@pytest.mark.parametrize("room", [n if n == 2000 else pytest.param(n, marks=pytest.mark.slow) for n in (0, 4, 400, 2000, 3900)])
def test_full_disk(stack_run: Reference, tmp_path: Path, room: int) -> None:
    """With `room` KB left the first run fails in good order; with space made, the second one finishes."""
    out = tmp_path / "out"
    convert = " ".join([*map(str, PROGRAM), str(stack_run.source), "--output-dir", str(out), *FLAGS[:2]])
    script = f"""{convert} > {tmp_path}/first.log 2>&1; echo $? > {tmp_path}/status
        ls -A {out} > {tmp_path}/between
        find {out} -maxdepth 1 -size +4000k -type f -delete
        {convert} > {tmp_path}/second.log 2>&1 || exit 1
        cp -r {out} {tmp_path}/copy"""
    command = [TOOLS / "full_disk.sh", "--dir", out, "--size", "12m", "--prefill", f"{12288 - room}k", "--json", tmp_path / "report.json"]
    done = subprocess.run([*command, "--", "sh", "-c", script], capture_output=True, text=True)
    first, second = (tmp_path / "first.log").read_text(), (tmp_path / "second.log").read_text()
    assert (tmp_path / "status").read_text() == "73\n", first
    errors = [line for line in first.splitlines() if " ERROR " in line]
    assert len(errors) == 1
    assert str(out) in errors[0]
    assert "No space left on device (the file system of OUTPUT_DIR is full: free space, then run again)" in errors[0]
    assert "Traceback" not in first
    assert "stack.ome.zarr" not in (tmp_path / "between").read_text().split()
    assert done.returncode == 0, second
    stack_run.check_done(tmp_path / "copy")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere; see the test with a read-only file system")
def test_folder_without_permission(stack_run: Reference, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir(mode=0o555)
    status, text = run(stack_run.source, "--output-dir", out)
    assert status != 0
    assert str(out) in text
    assert "Traceback" not in text


@sandboxed
def test_read_only_output(stack_run: Reference, tmp_path: Path) -> None:
    command = [*PROGRAM, stack_run.source, "--output-dir", tmp_path / "out"]
    binds = [f"bind={path}" for path in (tmp_path.parent, stack_run.source.parent, sys.prefix, ROOT)]
    status, text, _ = sandbox(["0", "ro=1", "tmp=16m", *binds], command, tmp_path / "report.json")
    assert status in (1, 2), text
    assert str(tmp_path) in text
    assert "ead-only" in text
    assert "Traceback" not in text


def test_output_that_vanishes_is_an_error_and_does_not_come_back_half_filled(stack_run: Reference, tmp_path: Path) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    with Program([stack_run.source, "--output-dir", out, *FLAGS], EAGER_COMMAND) as program:
        assert program.wait_for(lambda: files_in(out) > 30)
        out.rename(elsewhere)
        status, text = program.finish()
        assert program.left() == {}
    assert status == 73
    assert str(out) in text
    assert "No such file or directory" in text
    assert "Traceback" not in text
    assert not out.exists() or os.listdir(out) == []


def test_one_image_that_cannot_be_written_does_not_stop_the_others(tmp_path: Path) -> None:
    """Something that is not ours has the name of the first one's staging folder."""
    (tmp_path / "in").mkdir()
    for name in "abc":
        stack(tmp_path / f"in/{name}.ome.tif", 2, 300)
    (tmp_path / "out/.b.ome.zarr.partial").mkdir(parents=True)
    (tmp_path / "out/.b.ome.zarr.partial/precious").write_text("not ours")
    status, text = run("--input-dir", tmp_path / "in", "--output-dir", tmp_path / "out", "--quiet")
    assert status == 73
    assert [line for line in text.splitlines() if "ERROR" in line and ".b.ome.zarr.partial: is in the way" in line]
    assert sorted(os.listdir(tmp_path / "out")) == [".b.ome.zarr.partial", "a.ome.zarr", "c.ome.zarr"]
    assert (tmp_path / "out/.b.ome.zarr.partial/precious").read_text() == "not ours"


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.parametrize(("calls", "status"), [("1..2", 0), pytest.param("1+", 73, marks=pytest.mark.slow)], ids=["passes", "stays"])
@pytest.mark.parametrize("error", ["EIO", pytest.param("ESTALE", marks=pytest.mark.slow)])
def test_errors_of_a_chunk_file(tmp_path: Path, error: str, calls: str, status: int) -> None:
    source = stack(tmp_path / "stack.ome.tif", 3, 300)
    chunk = tmp_path / "out/.stack.ome.zarr.partial/0/c/0/1/0/0"
    tracer = [
        "strace",
        "-f",
        "-qq",
        "-o",
        tmp_path / "trace",
        "-P",
        chunk,
        "-e",
        "trace=openat",
        "-e",
        f"inject=openat:error={error}:when={calls}",
    ]
    with Program([source, "--output-dir", tmp_path / "out", "--quiet"], [*tracer, *PROGRAM]) as program:
        got, text = program.finish()
    if "ptrace" in text:
        pytest.skip(f"strace may not trace here: {text}")
    assert f"{error} " in (tmp_path / "trace").read_text()
    assert got == status, text
    if status:
        assert f"{chunk}: cannot write: " in text
        assert text.count("\n") == 1
        status, text = run(source, "--output-dir", tmp_path / "out", "--quiet")
        assert status == 0, text
    run(source, "--output-dir", tmp_path / "undisturbed", "--quiet")
    assert digest(tmp_path / "out") == digest(tmp_path / "undisturbed")


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.shared
@needs_root
@needs_shared
@pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="needs FUSE")
def test_slow_storage_costs_little_more_than_the_creates_themselves(tmp_path: Path) -> None:
    """8 ms for each create, one after another within a folder.

    What that costs whoever makes such a tree is measured beside it: the same folders and empty files, by as many threads as two workers
    have.
    The conversion may take that time and a quarter more, beside what it takes on fast storage. Each is the best of three.
    """
    source = stack(tmp_path / "stack.ome.tif", 120, 512)

    def timed(number: int, ms: int, command: Sequence[str | Path]) -> float:
        out = tmp_path / f"{ms} ms {number}"
        begun = time.monotonic()
        done = subprocess.run([TOOLS / "slow_fs.sh", "--dir", out, "--ms", str(ms), "--", *command, out], capture_output=True, text=True)
        seconds = time.monotonic() - begun
        assert done.returncode == 0, done.stderr
        shutil.copytree(out, tmp_path / "tree", dirs_exist_ok=True)
        shutil.rmtree(out)
        return seconds

    convert = [*PROGRAM, source, "--quiet", "--output-dir"]
    creates = [sys.executable, "-c", SAME_TREE, tmp_path / "tree", str(MAX_THREADS * 2)]
    runs = ((0, convert), (8, convert), (8, creates))
    fast, slow, alone = zip(*([timed(number, *run) for run in runs] for number in range(3)), strict=True)
    assert min(slow) <= min(fast) + 1.25 * min(alone), (fast, slow, alone)
