"""Datasets of a few small files, staged and published."""

from pathlib import Path

from omezarr_proc.publish.by_rename import publish, recover, stored_key
from omezarr_proc.publish.history import Unit
from omezarr_proc.publish.leftovers import discard
from omezarr_proc.publish.lock import Lock
from omezarr_proc.publish.record import Record

Tree = dict[str, bytes]


def dataset(key: str) -> Tree:
    """A small dataset: root metadata, one level, chunks that name their key."""
    files = {f"0/c/0/{y}/0": f"{key} {y}".encode() for y in range(2)}
    root = f'{{"attributes": {{"omezarr_proc": {{"key": "{key}"}}}}}}'.encode()
    return files | {"0/zarr.json": b"0", "zarr.json": root}


def write(folder: Path, files: Tree) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def tree(folder: Path) -> Tree:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


OLD, NEW = dataset("old"), dataset("new")


def stage(target: Path, key: str = "new") -> None:
    record = Record.open(target, key)
    write(record.staging, dataset(key))
    record.add([Unit(0, 0, (0, 2), (0, 1))])
    record.flush()
    record.close()


def next_run(target: Path, key: str = "new") -> None:
    """What the run after a killed one does with its dataset."""
    left = recover(target.parent)
    if stored_key(target) == key:
        if target in left:
            with Lock(target):
                assert discard(target)
    else:
        with Lock(target):
            stage(target, key)
            assert publish(target)
