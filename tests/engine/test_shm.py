"""Both kinds of shared memory, by workers that share nothing else."""

import mmap
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from conversion import convert, digest, random_pixels

from omezarr_proc.engine.local import arena as shm
from omezarr_proc.engine.local.arena import Arena, ArenaMap


@pytest.mark.parametrize("kind", ["memfd", "file"])
def test_what_one_side_writes_the_other_reads_also_after_growing(kind: str) -> None:
    arena = Arena(kind)
    assert arena.kind == kind
    arena.resize(mmap.PAGESIZE)
    ours, theirs = ArenaMap(arena.fd), ArenaMap(os.dup(arena.fd))
    early = np.ndarray((10,), np.uint8, ours.buffer(10), 5)
    early[:] = 7
    arena.resize(3 * mmap.PAGESIZE)
    late = np.ndarray((10,), np.uint8, theirs.buffer(3 * mmap.PAGESIZE), 5)
    assert (late == 7).all()
    late[:] = 9
    assert (early == 9).all()
    arena.resize(mmap.PAGESIZE)
    assert (late == 9).all() and os.fstat(arena.fd).st_blocks * 512 <= mmap.PAGESIZE
    arena.resize(0)
    assert os.fstat(arena.fd).st_blocks == 0
    arena.close()


def test_without_memfd_a_file_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> int:
        raise OSError(38, "not implemented")

    monkeypatch.setattr(shm.os, "memfd_create", refused)
    arena = Arena()
    assert arena.kind == "file"
    arena.close()


def test_the_kind_of_memory_does_not_show_in_the_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile.imwrite(tmp_path / "a.tif", random_pixels((900, 700, 3), "uint8"), photometric="rgb", tile=(128, 128))
    assert convert(tmp_path / "a.tif", tmp_path / "memfd") == 0
    monkeypatch.delattr(shm.os, "memfd_create")
    assert convert(tmp_path / "a.tif", tmp_path / "file") == 0
    assert digest(tmp_path / "memfd" / "a.ome.zarr") == digest(tmp_path / "file" / "a.ome.zarr")
