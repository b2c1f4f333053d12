"""Syncing a file system: lost data are told of once a descriptor, as Linux does it, whoever else calls syncfs."""

import contextlib
import ctypes
import errno
import os
from pathlib import Path

import pytest

from omezarr_proc.model.errors import OutputError
from omezarr_proc.publish import by_rename as publishing
from omezarr_proc.publish.by_rename import publish
from omezarr_proc.publish.history import Unit
from omezarr_proc.publish.record import Record
from omezarr_proc.store import sync


class Kernel:
    """syncfs and open by the rule of errseq_t: a descriptor is told of an error since it was opened or last told; one that is opened later
    only of what nobody was told of.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.errors, self.seen = 0, True
        self.known: dict[int, int] = {}
        real = os.open

        def opened(path: Path, flags: int) -> int:
            fd = real(path, flags)
            self.known[fd] = self.errors if self.seen else self.errors - 1
            return fd

        monkeypatch.setattr(sync, "_open", lambda folder: opened(folder, os.O_RDONLY | os.O_DIRECTORY))
        monkeypatch.setattr(sync, "_libc", self)

    def lose(self) -> None:
        self.errors, self.seen = self.errors + 1, False

    def syncfs(self, fd: int) -> int:
        before, self.known[fd] = self.known[fd], self.errors
        if before == self.errors:
            return 0
        self.seen = True
        ctypes.set_errno(errno.EIO)
        return -1


def another_caller(folder: Path) -> None:
    """A daemon that syncs the same file system, and is told of the loss first."""
    with contextlib.suppress(OSError):
        sync.Disk(folder).sync()


def test_data_lost_before_a_flush_are_noticed_though_another_caller_was_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(monkeypatch)
    record = Record.open(tmp_path / "a.ome.zarr", "k")
    kernel.lose()
    another_caller(tmp_path)
    record.add([Unit(0, 0, (0, 1), (0, 1))])
    with pytest.raises(OutputError, match="cannot note what is finished: Input/output error"):
        record.flush()
    record.close()
    assert Record.open(tmp_path / "a.ome.zarr", "k").units == ()


def test_data_lost_after_the_last_flush_are_noticed_before_publishing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(monkeypatch)
    target = tmp_path / "a.ome.zarr"
    record = Record.open(target, "k")
    record.add([Unit(0, 0, (0, 1), (0, 1))])
    assert record.flush()
    record.close()
    kernel.lose()
    another_caller(tmp_path)
    with pytest.raises(OutputError, match="cannot publish: Input/output error"):
        publish(target, None, record.disk)
    assert not target.exists()


def test_a_conversion_syncs_by_one_descriptor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the record's first flush to the one before the renames."""
    import tifffile
    from datasets import IMAGES, pixels

    from omezarr_proc import cli

    disks = []
    real = sync.Disk.sync
    monkeypatch.setattr(sync.Disk, "sync", lambda disk: (disks.append(disk), real(disk)))
    assert publishing.Disk is sync.Disk
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels("stack"), ome=True, metadata={"axes": IMAGES["stack"][2]}, photometric="minisblack")
    assert cli.main([str(tmp_path / "a.ome.tif"), "--output-dir", str(tmp_path), "--quiet"]) == 0
    assert len(disks) >= 2
    assert len(set(map(id, disks))) == 1
