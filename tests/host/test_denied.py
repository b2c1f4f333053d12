"""What a sandbox can lack or forbid: /proc, memfd, temporary files, sockets, syncfs. It works without, or says so in one line."""

import errno
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import tifffile
from runs import ROOT, digest, needs_root

from omezarr_proc import cli
from omezarr_proc.engine.local.nursery import Nursery, NurseryError
from omezarr_proc.engine.local.pool import Pool
from omezarr_proc.host.limits import read_machine
from omezarr_proc.store import sync

WITHOUT_PROC = 'mount --make-rprivate / && umount -l /proc && test ! -e /proc/self || exit 99; exec "$@"'


@pytest.fixture
def source(tmp_path: Path) -> Path:
    tifffile.imwrite(tmp_path / "a.tif", np.arange(90 * 70, dtype=np.uint16).reshape(90, 70))
    return tmp_path / "a.tif"


def denied(*arguments: object, **options: object) -> None:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


def refusal(source: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line with which a run ends."""
    assert cli.main([str(source), "--output-dir", str(source.parent / "out"), "--quiet"]) == 71
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert not list((source.parent / "out").iterdir())
    return text


@pytest.mark.root
@needs_root
@pytest.mark.skipif(not shutil.which("unshare"), reason="needs unshare")
def test_without_proc_the_same_is_made(source: Path, tmp_path: Path) -> None:
    program = [sys.executable, "-m", "omezarr_proc", source, "--quiet", "--output-dir"]
    command = ["unshare", "-m", "sh", "-c", WITHOUT_PROC, "sh", *program, tmp_path / "without"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == 99 or "unshare" in done.stderr:
        pytest.skip(f"/proc cannot be taken away here: {done.stderr}")
    assert (done.returncode, done.stderr) == (0, "")
    subprocess.run([*program, tmp_path / "with"], cwd=ROOT, check=True)
    assert digest(tmp_path / "without") == digest(tmp_path / "with")


@pytest.mark.parametrize("error", [FileNotFoundError(2, "No such file or directory"), psutil.NoSuchProcess(1)])
def test_the_machine_is_known_without_proc(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: object) -> None:
        raise error

    known = read_machine()
    monkeypatch.setattr(psutil, "Process", fails)
    if isinstance(error, OSError):
        monkeypatch.setattr(psutil, "virtual_memory", fails)
    machine = read_machine()
    assert machine.total_bytes == pytest.approx(known.total_bytes, rel=0.05)
    assert 0 < machine.available_bytes <= machine.total_bytes
    assert (machine.own_bytes, machine.cpus) == (0, known.cpus)


def test_neither_memfd_nor_temporary_files(source: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "memfd_create", denied)
    monkeypatch.setattr(tempfile, "TemporaryFile", denied)
    text = refusal(source, capsys)
    assert "there is no memfd here, and no temporary file can be made (Operation not permitted): set TMPDIR" in text


def test_no_sockets_for_the_nursery(source: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socketpair", denied)
    assert "cannot make a pair of sockets to talk to a process: Operation not permitted" in refusal(source, capsys)


def test_no_sockets_for_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Pool(Nursery())
    try:
        monkeypatch.setattr(socket, "socketpair", denied)
        with pytest.raises(NurseryError, match="cannot make a pair of sockets to talk to a worker: Operation not permitted"):
            pool.resize(1)
    finally:
        pool.close()


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOSYS])
def test_where_syncfs_is_forbidden_all_is_synced(source: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    synced = []

    def syncfs(fd: int) -> int:
        sync.ctypes.set_errno(code)
        return -1

    monkeypatch.setattr(sync, "_libc", SimpleNamespace(syncfs=syncfs))
    monkeypatch.setattr(os, "sync", lambda: synced.append(True))
    assert cli.main([str(source), "--output-dir", str(source.parent / "out"), "--quiet"]) == 0
    assert synced
