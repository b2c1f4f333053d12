"""Publish and its removal: by result, by system call trace, and killed at every system call that changes a name or flushes."""

import ctypes
import errno
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from loguru import logger
from trees import NEW, OLD, Tree, dataset, next_run, stage, tree, write

from omezarr_proc.model.errors import OutputError
from omezarr_proc.publish import by_rename as module
from omezarr_proc.publish import readback
from omezarr_proc.publish.by_rename import publish, recover, stored_key
from omezarr_proc.publish.hidden import MAGIC, aside_path, emptied_path, lock_path, record_path, staging_path
from omezarr_proc.publish.leftovers import discard
from omezarr_proc.publish.lock import Lock
from omezarr_proc.publish.record import Record
from omezarr_proc.store.remove import remove_tree

HIDDEN = (lock_path, record_path, staging_path, aside_path, emptied_path)
# What an overlay answers for a folder of its lower layer.
LOWER = """
import errno, os
rename = os.rename
def lower(source, to):
    if str(source) == sys.argv[1]:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
    rename(source, to)
os.rename = lower
"""


class NoExchange:
    """A C library whose renameat2 cannot exchange."""

    def __init__(self, code: int) -> None:
        self.code = code

    def renameat2(self, *arguments: object) -> int:
        ctypes.set_errno(self.code)
        return -1


@pytest.fixture(params=["exchange", "two renames", "removal"])
def form(request: pytest.FixtureRequest, target: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if request.param == "two renames":
        monkeypatch.setattr(module, "_libc", object())
    if request.param == "removal":
        rename = os.rename

        def lower(source: Path, to: Path) -> None:
            if source == target:
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
            rename(source, to)

        monkeypatch.setattr(module, "_libc", NoExchange(errno.EXDEV))
        monkeypatch.setattr(os, "rename", lower)
    yield request.param


@pytest.fixture
def messages() -> Iterator[list[str]]:
    found: list[str] = []
    sink = logger.add(lambda text: found.append(str(text).strip()), format="{level} {message}")
    yield found
    logger.remove(sink)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "out" / "a.ome.zarr"


@pytest.fixture(autouse=True)
def out(target: Path) -> None:
    target.parent.mkdir()


def test_new_and_replaced_dataset_leave_nothing_hidden(target: Path, form: str) -> None:
    for key in ("old", "new", "old"):
        with Lock(target):
            stage(target, key)
            assert publish(target)
        assert tree(target) == dataset(key)
        assert os.listdir(target.parent) == [target.name]


def test_what_cannot_be_removed_in_time_waits_for_the_next_run(target: Path, form: str) -> None:
    if form == "removal":
        pytest.skip("here all is removed before")
    write(target, OLD)
    for key, hidden in (("new", 2), ("third", 3)):
        with Lock(target):
            stage(target, key)
            assert not publish(target, deadline=time.monotonic() - 1)
        assert tree(target) == dataset(key)
        assert len(os.listdir(target.parent)) == 1 + hidden  # the record, and each replaced dataset
    assert recover(target.parent) == {target}
    next_run(target, "third")
    assert os.listdir(target.parent) == [target.name]
    assert tree(target) == dataset("third")


def test_publish_fails_when_nothing_is_staged(target: Path, form: str) -> None:
    write(target, OLD)
    with pytest.raises(OutputError, match=r"a\.ome\.zarr: cannot publish: No such file"):
        publish(target)
    assert tree(target) == OLD


def test_exchange_that_the_file_system_lacks_is_replaced(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_libc", NoExchange(errno.EINVAL))
    write(target, OLD)
    stage(target)
    assert publish(target)
    assert tree(target) == NEW
    assert os.listdir(target.parent) == [target.name]


def test_what_is_staged_for_a_dataset_that_is_done_is_discarded(target: Path) -> None:
    write(target, NEW)
    stage(target)
    assert not discard(target, deadline=time.monotonic() - 1)
    record = Record.open(target, "new")
    record.close()
    assert not record.units
    assert discard(target)
    assert tree(target) == NEW
    assert os.listdir(target.parent) == [target.name]


@pytest.mark.parametrize("there", ["old", "new"])
def test_killed_just_before_the_exchange_loses_nothing(target: Path, there: str) -> None:
    """Unless the dataset that is there has the same key (EXISTING=force): then nothing tells which of the two is the new one."""
    stage(target)
    write(target, dataset(there))
    staging_path(target).rename(target.with_name(f".{target.name}.old-0"))
    assert recover(target.parent) == {target}
    assert tree(target) == dataset(there)
    record = Record.open(target, "new")
    record.close()
    assert bool(record.units) == (there == "old")
    next_run(target)
    assert tree(target) == NEW
    assert os.listdir(target.parent) == [target.name]


OME = {"ome": {"version": "0.5", "multiscales": []}}
FOREIGN: dict[str, Tree] = {
    "an image, v3": {"zarr.json": json.dumps({"zarr_format": 3, "node_type": "group", "attributes": OME}).encode()},
    "a plate, v2": {".zgroup": b'{"zarr_format": 2}', ".zattrs": b'{"plate": {}}'},
    "a collection, v2": {".zgroup": b'{"zarr_format": 2}', ".zattrs": b'{"bioformats2raw.layout": 3}'},
}


@pytest.mark.parametrize("what", FOREIGN)
def test_datasets_of_others_are_replaced_and_the_log_says_so(target: Path, form: str, what: str, messages: list[str]) -> None:
    write(target, FOREIGN[what])
    stage(target)
    assert publish(target)
    assert tree(target) == NEW
    assert messages == [f"INFO {target}: has replaced an OME-Zarr dataset of another program"]


NO_DATASETS: dict[str, Tree] = {
    "photos": {"1.jpg": b"jpg"},
    "a Zarr array": {"zarr.json": b'{"zarr_format": 3, "node_type": "array", "attributes": {"multiscales": []}}'},
    "a group of something": {"zarr.json": b'{"zarr_format": 3, "node_type": "group", "attributes": {"ome": "multiscales"}}'},
    "attributes alone": {".zattrs": b'{"multiscales": []}'},
    "no JSON": {"zarr.json": b"[" * 100_000},
    "a list": {"zarr.json": b"[]"},
}


@pytest.mark.parametrize("what", [*NO_DATASETS, "a file", "a link", "a FIFO"])
def test_what_is_no_dataset_is_replaced_by_force_only(target: Path, form: str, what: str, messages: list[str]) -> None:
    write(target.parent / "kept", OLD)
    if what in NO_DATASETS:
        write(target, NO_DATASETS[what])
    elif what == "a file":
        target.write_text("mine")
    elif what == "a link":
        target.symlink_to("kept")
    else:
        target.mkdir()
        os.mkfifo(target / "zarr.json")
    before = sorted(os.listdir(target)) if target.is_dir() else target.read_text()
    stage(target)
    with pytest.raises(OutputError, match=r"a\.ome\.zarr: is a (file|link|folder that is no .* dataset) and is not .* EXISTING=force"):
        publish(target)
    assert (sorted(os.listdir(target)) if target.is_dir() else target.read_text()) == before
    if what in ("a file", "a link") and form == "removal":
        return  # an overlay renames these
    assert publish(target, force=True)
    assert tree(target) == NEW
    assert tree(target.parent / "kept") == OLD
    assert len(messages) == 1 and messages[0].startswith(f"INFO {target}: has replaced a ")


@pytest.mark.parametrize("fault", ["EIO", "other bytes"])
def test_a_root_that_cannot_be_read_back_is_an_error_and_keeps_the_old_dataset(
    target: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = readback.read_file

    def wrong(path: Path) -> bytes:
        if path == target / "zarr.json":
            if fault == "EIO":
                raise OSError(errno.EREMOTEIO, os.strerror(errno.EREMOTEIO))
            return b""
        return read(path)

    monkeypatch.setattr(readback, "read_file", wrong)
    write(target, OLD)
    stage(target)
    with pytest.raises(OutputError, match=r"a\.ome\.zarr/zarr\.json: cannot be read back after publishing \(.*remove this dataset"):
        publish(target)
    assert tree(target.with_name(f".{target.name}.old-0")) == OLD


def test_a_replaced_dataset_that_cannot_be_removed_is_named(target: Path, monkeypatch: pytest.MonkeyPatch, messages: list[str]) -> None:
    unlink, old = os.unlink, target.with_name(f".{target.name}.old-0")

    def busy(path: str | Path) -> None:
        if str(path).startswith(str(old)):
            raise OSError(errno.EBUSY, "busy")
        unlink(path)

    write(target, OLD)
    stage(target)
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", busy)
        assert not publish(target)
        assert recover(target.parent) == {target}
        assert not discard(target)
    assert [text for text in messages if "replaced dataset is not removed, since its files" in text] == messages[1:]
    assert len(messages) == 3
    assert f"WARNING {old}: " in messages[1] and "the next run tries again, or remove it yourself" in messages[1]
    assert tree(target) == NEW
    assert discard(target)
    assert os.listdir(target.parent) == [target.name]


def test_what_cannot_be_renamed_nor_removed_is_finished_by_a_later_run(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename, unlink = os.rename, os.unlink

    def lower(source: Path, to: Path) -> None:
        if source == target:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        rename(source, to)

    def busy(path: str) -> None:
        if "/c/" in str(path):
            raise OSError(errno.EBUSY, "busy")
        unlink(path)

    monkeypatch.setattr(module, "_libc", NoExchange(errno.EXDEV))
    monkeypatch.setattr(os, "rename", lower)
    write(target, OLD)
    stage(target)
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", busy)
        with pytest.raises(OutputError, match="can neither be renamed nor removed"):
            publish(target)
        assert recover(target.parent) == {target}
    assert stored_key(target) is None
    assert recover(target.parent) == set()
    assert tree(target) == NEW
    assert os.listdir(target.parent) == [target.name]


@pytest.mark.root
@pytest.mark.parametrize("staged", ["above", "below"])
def test_dataset_of_a_lower_layer_is_replaced(tmp_path: Path, staged: str) -> None:
    """On a real overlay, whose folders of the lower layer cannot be renamed."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    base = tmp_path / "base"
    base.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "none", base], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        layers = {name: base / name for name in ("lower", "upper", "work", "all")}
        for folder in layers.values():
            folder.mkdir()
        write(layers["lower"] / "a.ome.zarr", OLD)
        target = layers["all"] / "a.ome.zarr"
        if staged == "below":
            stage(layers["lower"] / "a.ome.zarr")
        options = f"lowerdir={layers['lower']},upperdir={layers['upper']},workdir={layers['work']},redirect_dir=off"
        if subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, layers["all"]], capture_output=True).returncode:
            pytest.skip("no overlay can be mounted here")
        try:
            if staged == "below":
                with pytest.raises(OutputError, match=r"cannot publish: .* lower layer of an overlay and cannot be renamed: remove it"):
                    publish(target)
                assert tree(target) == OLD
                assert recover(target.parent) == {target}
                with Lock(target):
                    assert discard(target)
            with Lock(target):
                stage(target)
                assert publish(target)
            assert tree(target) == NEW
            assert os.listdir(target.parent) == [target.name]
        finally:
            subprocess.run(["umount", layers["all"]], check=True)
    finally:
        subprocess.run(["umount", base], check=True)


def test_names_that_are_hard_to_read(tmp_path: Path) -> None:
    target = tmp_path / os.fsdecode(b"a\nb \xff.old-1.ome.zarr")
    write(target, OLD)
    with Lock(target):
        stage(target)
        assert not publish(target, deadline=time.monotonic() - 1)
    assert recover(tmp_path) == {target}
    next_run(target)
    assert tree(target) == NEW
    assert set(os.listdir(tmp_path)) == {target.name, "out"}


def test_recover_leaves_what_is_not_ours(target: Path) -> None:
    foreign: Tree = {
        ".b.ome.zarr.old-0/data": b"mine",
        ".b.ome.zarr.aside/data": b"mine",
        ".c.ome.zarr.record": b"my notes",
        ".c.ome.zarr.old-1/data": b"mine",
        ".d.partial/data": b"mine",
        ".a.ome.zarr.old/data": b"mine",
        ".e.ome.zarr.lock": b"my door",
        "f.ome.zarr/zarr.json": b"{}",
    }
    write(target.parent, foreign)
    assert recover(target.parent) == set()
    assert not discard(target.parent / "b.ome.zarr")
    assert tree(target.parent) == foreign


def test_recover_leaves_what_another_run_works_on(target: Path) -> None:
    write(aside_path(target), OLD)
    record_path(target).write_bytes(MAGIC)
    with Lock(target):
        assert recover(target.parent) == set()
        assert aside_path(target).exists()
    recover(target.parent)
    assert tree(target) == OLD
    assert os.listdir(target.parent) == [target.name]


def test_recover_removes_stale_locks_and_keeps_staged_datasets(target: Path) -> None:
    stage(target)
    stage(other := target.with_name("b.ome.zarr"))
    lock_path(target).write_bytes(b'{"pid": 1}')
    lock_path(target.with_name("c.ome.zarr")).write_bytes(b"")
    assert recover(target.parent) == {target, other}
    assert set(os.listdir(target.parent)) == {path(t).name for t in (target, other) for path in (record_path, staging_path)}


def test_recover_of_no_folder(tmp_path: Path) -> None:
    assert recover(tmp_path / "absent") == set()


def test_remove_tree(tmp_path: Path) -> None:
    write(tmp_path / "keep", OLD)
    write(tmp_path / "go", {f"{n}/{m}/f": b"" for n in range(40) for m in range(5)})
    (tmp_path / "go" / "link").symlink_to(tmp_path / "keep")
    (tmp_path / "go" / "1" / "link").symlink_to(tmp_path / "keep" / "zarr.json")
    assert not remove_tree(tmp_path / "go", deadline=time.monotonic() - 1)
    assert (tmp_path / "go" / "7" / "3" / "f").exists()
    assert remove_tree(tmp_path / "go")
    assert not (tmp_path / "go").exists()
    assert tree(tmp_path / "keep") == OLD
    assert remove_tree(tmp_path / "go")
    (tmp_path / "link").symlink_to(tmp_path / "keep")
    assert remove_tree(tmp_path / "link")
    assert tree(tmp_path / "keep") == OLD


def test_file_that_somebody_has_open_stays_with_its_folders_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "go", {"zarr.json": b"{}", "0/c/.nfs1": b"open", "0/c/1": b"", "1/c/0": b""})
    unlink = os.unlink

    def busy(path: str) -> None:
        if ".nfs" in path:
            raise OSError(module.errno.EBUSY, "busy")
        unlink(path)

    monkeypatch.setattr(os, "unlink", busy)
    assert not remove_tree(tmp_path / "go")
    assert tree(tmp_path / "go") == {"0/c/.nfs1": b"open"}
    assert os.listdir(tmp_path / "go") == ["0"]


# --- killed at every system call --------------------------------------------------------------------------------------------------------

RUN = """
import sys
from pathlib import Path
from omezarr_proc.publish import by_rename as publish
from omezarr_proc.store import remove
from omezarr_proc.publish.leftovers import discard
from omezarr_proc.publish.lock import Lock
target = Path(sys.argv[1])
if sys.argv[2] != "exchange":
    publish._libc = object()
if sys.argv[2] != "two renames":  # all removals in one thread, so that strace's count goes over all of them
    remove._THREADS = 0
with Lock(target):
    assert publish.publish(target)
"""

BEGIN_ANEW = """
import sys
from pathlib import Path
from omezarr_proc.store import remove
from omezarr_proc.publish.record import Record
remove._THREADS = 0
Record.open(Path(sys.argv[1]), "other")
"""

# strace counts each system call by itself, so each is swept by itself; those that a machine does not have or use are not reached.
RENAMES = ("rename", "renameat", "renameat2")
REMOVALS = ("unlink", "unlinkat", "rmdir")
FLUSHES = ("syncfs", "fsync")
WRITES = ("write", "ftruncate", "mkdir", "mkdirat")


def strace(options: list[str], script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = ["strace", "-f", "-qq", *options, sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="session")
def tracer() -> None:
    if not shutil.which("strace"):
        pytest.skip("needs strace")
    tried = subprocess.run(["strace", "-e", "trace=none", "true"], capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"strace does not work here: {tried.stderr.strip()}")


def kills(calls: Sequence[str], folder: Path, script: str, *arguments: object) -> Iterator[str]:
    """Run the script, killed at the first system call of a kind in `folder`, then at the second, ...

    Yields after each kill, and ends after a run to the end. The caller prepares the same state again each time.
    """
    for call in calls:
        for n in range(1, 100):
            options = ["-o", os.devnull, "-e", f"trace=?{call}", "-e", f"inject=?{call}:signal=KILL:when={n}"]
            paths = [option for path in folder.rglob("*") for option in ("-P", str(path))] if call == "write" else []
            done = strace([*options, *paths], script, *arguments)
            yield "" if done.returncode == 0 else f"{call} {n}"
            if done.returncode == 0:
                break
            assert done.returncode in (-9, 137), done.stderr
        else:
            raise AssertionError(f"{call}: never ran to its end")


@pytest.mark.usefixtures("tracer")
@pytest.mark.parametrize("calls", [RENAMES, FLUSHES, REMOVALS], ids=["renames", "flushes", "removals"])
@pytest.mark.parametrize("way", ["exchange", "two renames", pytest.param("removal", marks=pytest.mark.slow)])
def test_killed_at_every_call_while_replacing(target: Path, way: str, calls: Sequence[str]) -> None:
    def prepare() -> None:
        shutil.rmtree(target, ignore_errors=True)
        write(target, OLD)
        stage(target)

    killed = []
    prepare()
    script = RUN.replace("with Lock", LOWER + "with Lock") if way == "removal" else RUN
    for at in kills(calls, target.parent, script, target, way):
        if at:
            killed.append(at)
            left = set(os.listdir(target.parent))
            assert left <= {path(target).name for path in HIDDEN} | {target.name, f".{target.name}.old-0"}
            if way == "removal":
                assert stored_key(target) is None or tree(target) in (OLD, NEW)
            elif target.exists() or way == "exchange":
                assert tree(target) in (OLD, NEW)
            else:
                assert tree(aside_path(target)) == OLD
            recover(target.parent)  # of a run for other inputs
            assert tree(target) in (OLD, NEW)
            next_run(target)
        assert tree(target) == NEW
        assert os.listdir(target.parent) == [target.name]
        prepare()
    least = {"exchange": (2, 2, 12), "two renames": (3, 2, 4), "removal": (1, 5, 12)}[way]
    assert len(killed) >= least[(RENAMES, FLUSHES, REMOVALS).index(tuple(calls))]


@pytest.mark.usefixtures("tracer")
@pytest.mark.parametrize("calls", [WRITES, REMOVALS, ("fsync",)], ids=["writes", "removals", "flushes"])
def test_killed_while_replacing_what_was_staged(target: Path, calls: Sequence[str]) -> None:
    """Half of a removed staging folder is never taken for the whole."""
    killed = []
    stage(target)
    for at in kills(calls, target.parent, BEGIN_ANEW, target):
        killed += [at] if at else []
        record = Record.open(target, "new")
        for unit in record.units:
            for y in range(*unit.rows):
                for x in range(*unit.columns):
                    assert (record.staging / f"{unit.level}/c/0/{y}/{x}").exists()
        record.close()
        next_run(target)
        assert tree(target) == NEW
        assert os.listdir(target.parent) == [target.name]
        shutil.rmtree(target)
        stage(target)
    assert len(killed) >= {WRITES: 3, REMOVALS: 10, ("fsync",): 2}[tuple(calls)]


@pytest.mark.usefixtures("tracer")
def test_flushed_before_the_rename_and_the_folder_after_it(target: Path, tmp_path: Path) -> None:
    for way in ("exchange", "two renames"):
        shutil.rmtree(target, ignore_errors=True)
        write(target, OLD)
        stage(target)
        done = strace(
            ["-y", "-o", str(tmp_path / "trace"), "-e", "trace=" + ",".join("?" + call for call in RENAMES + FLUSHES + REMOVALS)],
            RUN,
            target,
            way,
        )
        assert done.returncode == 0, done.stderr
        lines = [line for line in (tmp_path / "trace").read_text().splitlines() if str(target.parent) in line]
        names = [line.split(None, 1)[1].split("(")[0] for line in lines]
        renames = [n for n, name in enumerate(names) if name.startswith("rename")]
        assert names[0] == "syncfs" and f"{staging_path(target)}>" in lines[0]
        assert renames == list(range(1, len(renames) + 1))
        after = len(renames) + 1
        assert names[after] == "fsync" and f"{target.parent}>" in lines[after]
        assert all(name.startswith(("unlink", "rmdir")) for name in names[after + 1 :])
