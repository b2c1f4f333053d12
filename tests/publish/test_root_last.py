"""Publishing a dataset that is the folder itself: by result, and killed at every system call that changes a name or flushes."""

import errno
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from trees import Tree, tree, write

from omezarr_proc.model.errors import OutputError
from omezarr_proc.publish import by_rename, readback
from omezarr_proc.publish.by_root_last import clean, publish, recover
from omezarr_proc.publish.children import children_of, refuse_in_the_way
from omezarr_proc.publish.existing import dataset_at, stored_key
from omezarr_proc.publish.hidden import MAGIC, hidden_files, inside, record_path, whole_path
from omezarr_proc.publish.history import Unit
from omezarr_proc.publish.leftovers import discard
from omezarr_proc.publish.lock import Lock
from omezarr_proc.publish.record import Record
from omezarr_proc.publish.tree import ByRootLast

# What a user has in the folder; none of it may ever be touched.
USERS: Tree = {"README.txt": b"mine", "2023/photo.jpg": b"mine", "a.ome.zarr/zarr.json": b"{}", ".hidden": b"mine", "report.json": b"{}"}
PAIRS = [(3, 3), (2, 2), (3, 2), (2, 3)]


def dataset(key: str, zarr_format: int = 3, levels: int = 2, ome: bool = False) -> Tree:
    """A dataset whose every file names its key."""
    datasets = [{"path": str(level)} for level in range(levels)]
    attributes = {"omezarr_proc": {"key": key, "version": "x"}, "multiscales": [{"datasets": datasets}]}
    files = {f"{level}/c/0/{y}/0": f"{key} {level} {y}".encode() for level in range(levels) for y in range(2)}
    files |= {f"{level}/{'zarr.json' if zarr_format == 3 else '.zarray'}": key.encode() for level in range(levels)}
    files |= {"OME/METADATA.ome.xml": key.encode()} if ome else {}
    if zarr_format == 2:
        return files | {".zgroup": b'{"zarr_format": 2}', ".zattrs": json.dumps(attributes).encode()}
    return files | {"zarr.json": json.dumps({"zarr_format": 3, "node_type": "group", "attributes": attributes}).encode()}


OLD, NEW = dataset("old", levels=3, ome=True), dataset("new")


def stage(folder: Path, files: Tree = NEW) -> None:
    record = Record.open(inside(folder), "new")
    write(record.staging, files)
    record.add([Unit(0, 0, (0, 2), (0, 1))])
    record.flush()
    record.close()


def next_run(folder: Path, files: Tree = NEW) -> None:
    """What the run after a killed one does."""
    left = recover(folder)
    with Lock(inside(folder)):
        if stored_key(folder) == "new":
            assert not left or discard(inside(folder))
        else:
            stage(folder, files)
            assert publish(folder)


def hidden(folder: Path) -> set[str]:
    return {role for _, role, _ in hidden_files(folder)}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    write(tmp_path / "out", USERS)
    return tmp_path / "out"


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_a_dataset_is_replaced_whole_and_the_users_files_stay(out: Path, old: int, new: int) -> None:
    for files in (dataset("old", old, 3, ome=True), dataset("new", new)):
        with Lock(inside(out)):
            stage(out, files)
            assert publish(out)
        assert tree(out) == USERS | files


def test_a_link_to_the_folder_will_do(out: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(out)
    write(out, OLD)
    stage(tmp_path / "link")
    assert publish(tmp_path / "link")
    assert tree(out) == USERS | NEW


def test_nothing_of_an_image_is_seen_between_its_old_and_its_new_root(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(out, OLD)
    stage(out)
    rename, seen = os.rename, []

    def watched(source: Path, to: Path) -> None:
        rename(source, to)
        found = {name: data for name, data in tree(out).items() if not name.startswith(".") and name not in USERS}
        seen.append("none" if dataset_at(out) is None else "old" if found == OLD else "new" if found == NEW else "mixed")

    monkeypatch.setattr(os, "rename", watched)
    assert publish(out)
    assert seen == sorted(seen, key=["old", "none", "new"].index)
    assert set(seen) == {"old", "none", "new"}


IN_THE_WAY: dict[str, Tree] = {
    "a level": {"0/x": b"mine"},
    "OME": {"OME/x": b"mine"},
    "an array": {"zarr.json": b'{"node_type": "array", "zarr_format": 3}'},
    "a group of the other format": {".zgroup": b'{"zarr_format": 2}'},
    "consolidated metadata": {".zmetadata": b"{}"},
}


@pytest.mark.parametrize("what", IN_THE_WAY)
def test_what_is_of_no_dataset_is_replaced_by_force_only(out: Path, what: str) -> None:
    new = dataset("new", ome=True)
    write(out, IN_THE_WAY[what])
    stage(out, new)
    with pytest.raises(OutputError, match=r"is of no OME-Zarr dataset and is not replaced: .* EXISTING=force, which deletes it"):
        publish(out)
    assert {name: tree(out)[name] for name in (USERS | IN_THE_WAY[what])} == USERS | IN_THE_WAY[what]
    assert publish(out, force=True)
    assert tree(out) == USERS | new


def test_what_belongs_to_datasets_of_others(out: Path) -> None:
    write(
        out,
        {
            "0/.zarray": b"",
            "A/1/.zgroup": b"",
            "A/.zgroup": b"",
            "labels/.zgroup": b"",
            "OME/x": b"",
            "data/deep/.zarray": b"",
            "7/.zgroup": b"",
        },
    )

    def parts(attributes: object) -> set[str]:
        return children_of(out, [attributes])  # type: ignore[list-item]

    image = {"multiscales": [{"datasets": [{"path": "0"}, {"path": "./1"}, {"path": "../up"}, {"path": ".hidden"}, {"path": 7}, "x"]}]}
    assert parts(image) == parts({"ome": image}) == {"0", "labels"}
    assert parts({"plate": {"wells": [{"path": "A/1"}]}}) == {"A", "labels"}
    assert parts({"multiscales": [{"datasets": [{"path": "data/deep"}]}]}) == {"labels"}
    assert parts({"bioformats2raw.layout": 3}) == {"0", "7", "labels"}
    assert parts({"multiscales": 1, "plate": {"wells": None}, "ome": []}) == {"labels"}
    assert children_of(out, []) == set()
    write(out, {"zarr.json": json.dumps({"node_type": "group", "attributes": image}).encode()})
    with pytest.raises(OutputError, match="7: is of no OME-Zarr dataset"):
        refuse_in_the_way(out)


def test_what_cannot_be_removed_in_time_waits_for_the_next_run(out: Path) -> None:
    write(out, OLD)
    with Lock(inside(out)):
        stage(out)
        assert not publish(out, deadline=time.monotonic() - 1)
    assert stored_key(out) == "new"
    assert hidden(out) == {"record", "old-0"}
    assert recover(out)
    next_run(out)
    assert tree(out) == USERS | NEW


def test_old_parts_that_cannot_be_renamed_are_removed(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As folders of an overlay's lower layer."""
    rename = os.rename

    def lower(source: Path, to: Path) -> None:
        if source.parent == out and source.is_dir() and not source.name.startswith("."):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        rename(source, to)

    monkeypatch.setattr(os, "rename", lower)
    write(out, OLD)
    stage(out)
    assert publish(out)
    assert tree(out) == USERS | NEW


def test_a_root_that_cannot_be_read_back_is_an_error_and_keeps_the_old_dataset(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(out, OLD)
    stage(out)
    with monkeypatch.context() as patch:
        read = readback.read_file
        patch.setattr(readback, "read_file", lambda path: b"" if path == out / "zarr.json" else read(path))
        with pytest.raises(OutputError, match=r"out/zarr\.json: cannot be read back after publishing"):
            publish(out)
    assert tree(out / ".ome.zarr.old-0") == OLD


def test_hidden_files_of_others_are_left_and_named(out: Path) -> None:
    write(whole_path(inside(out)), NEW)
    before = tree(out)
    assert not recover(out)
    with (
        Lock(inside(out)) as lock,
        pytest.raises(OutputError, match=r"\.ome\.zarr\.whole: is in the way and not known to be of omezarr_proc"),
    ):
        ByRootLast(out, "new", lock)
    assert tree(out) == before


def test_neither_way_touches_what_the_other_has_hidden(out: Path) -> None:
    stage(out)
    whole_path(inside(out)).mkdir()
    record = Record.open(out / "b.ome.zarr", "b")
    record.close()
    before = tree(out)
    assert by_rename.recover(out) == {out / "b.ome.zarr"}
    assert tree(out) == before


def test_clean_finishes_what_was_decided_and_removes_what_was_not(out: Path) -> None:
    write(out, OLD)
    stage(out)
    with Lock(inside(out)):
        assert clean(out)
    assert tree(out) == USERS | OLD
    stage(out)
    (out / ".ome.zarr.partial").rename(out / ".ome.zarr.whole")
    with Lock(inside(out)):
        assert clean(out)
    assert tree(out) == USERS | NEW


def test_recover_leaves_what_another_run_works_on(out: Path) -> None:
    write(whole_path(inside(out)), NEW)
    record_path(inside(out)).write_bytes(MAGIC)
    with Lock(inside(out)):
        assert recover(out)
        assert whole_path(inside(out)).exists()
    assert not recover(out)
    assert tree(out) == USERS | NEW


# --- killed at every system call --------------------------------------------------------------------------------------------------------

RUN = """
import sys
from pathlib import Path
from omezarr_proc.publish import by_root_last
from omezarr_proc.publish.hidden import inside
from omezarr_proc.publish.lock import Lock
from omezarr_proc.store import remove
remove._THREADS = 0  # all removals in one thread, so that strace's count goes over all of them
folder = Path(sys.argv[1])
with Lock(inside(folder)):
    assert by_root_last.publish(folder)
"""
RENAMES, REMOVALS, FLUSHES = ("rename", "renameat2", "mkdir"), ("unlink", "unlinkat", "rmdir"), ("syncfs", "fsync")


def strace(options: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = ["strace", "-f", "-qq", *options, sys.executable, "-c", RUN, folder]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="session")
def tracer() -> None:
    if not shutil.which("strace") or subprocess.run(["strace", "-e", "trace=none", "true"], capture_output=True).returncode:
        pytest.skip("needs a strace that works here")


@pytest.mark.usefixtures("tracer")
@pytest.mark.parametrize(
    "calls", [RENAMES, FLUSHES, pytest.param(REMOVALS, marks=pytest.mark.slow)], ids=["renames", "flushes", "removals"]
)
@pytest.mark.parametrize(("old", "new"), [PAIRS[0], *(pytest.param(*pair, marks=pytest.mark.slow) for pair in (*PAIRS[1:], (0, 2)))])
def test_killed_at_every_call_while_replacing(out: Path, old: int, new: int, calls: Sequence[str]) -> None:
    """Here old and new have no file in common, in 0 there is no old one."""
    before, after = dataset("old", old, 3, ome=True) if old else {}, dataset("new", new)
    killed = 0
    for call in calls:
        for n in range(1, 100):
            shutil.rmtree(out)
            write(out, USERS | before)
            stage(out, after)
            done = strace(["-o", os.devnull, "-e", f"trace=?{call}", "-e", f"inject=?{call}:signal=KILL:when={n}"], out)
            if done.returncode == 0:
                break
            assert done.returncode in (-9, 137), done.stderr
            killed += 1
            left = {name: data for name, data in tree(out).items() if not name.startswith(".ome.zarr.")}
            assert {name: left.get(name) for name in USERS} == USERS
            if dataset_at(out) is not None:
                assert left in (USERS | before, USERS | after), f"{call} {n}"
            if n % 2:
                recover(out)  # of a run for another input
                assert tree(out).items() >= USERS.items()
            next_run(out, after)
            assert tree(out) == USERS | after, f"{call} {n}"
        assert tree(out) == USERS | after
    assert killed >= {RENAMES: 4, FLUSHES: 4, REMOVALS: 2}[tuple(calls)]


@pytest.mark.usefixtures("tracer")
def test_flushed_before_the_first_rename_and_between_parts_and_root(out: Path, tmp_path: Path) -> None:
    write(out, OLD)
    stage(out)
    done = strace(["-y", "-o", str(tmp_path / "trace"), "-e", "trace=?rename,?renameat,?renameat2,?syncfs,?fsync"], out)
    assert done.returncode == 0, done.stderr
    steps = []
    for line in (line for line in (tmp_path / "trace").read_text().splitlines() if str(out) in line):
        name = line.split(None, 1)[1].split("(")[0]
        steps.append(name if "sync" in name else line.split('"')[3].removeprefix(f"{out}/"))
    aside = ".ome.zarr.aside"
    assert steps == [
        *("syncfs", ".ome.zarr.whole", "fsync"),
        *(f"{aside}/zarr.json", "fsync", "fsync"),
        *(f"{aside}/0", f"{aside}/1", f"{aside}/2", f"{aside}/OME", "fsync", ".ome.zarr.old-0", "fsync"),
        *("0", "1", "fsync", "zarr.json", "fsync"),
    ]
