"""Removing a tree of very many files: several folders at a time, since a network file system takes milliseconds for each file."""

import contextlib
import os
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from omezarr_proc.host.faults import retry

# Removals in one folder run one after another on EFS; over 16 folders 16 threads are 8 times as fast as one.
_THREADS = 16
_PAUSE = 0.05  # before the second try; there are many files, and the next run tries again too


def remove_tree(path: Path, deadline: float | None = None) -> bool:
    """Remove `path` and all below it, following no links; returns whether it is gone.

    False where `deadline` (as time.monotonic() counts) came first, or for what cannot be removed (such as `.nfs*`, files that somebody has
    open). The root metadata goes first, so nobody takes the rest for a dataset.
    """
    if _out_of_time(deadline):
        return not os.path.lexists(path)
    try:
        if not stat.S_ISDIR(path.lstat().st_mode):
            _unlink(str(path))
            return True
        for name in ("zarr.json", ".zattrs"):
            _unlink(str(path / name))
    except FileNotFoundError:
        return True
    except OSError:
        return False

    depths: list[list[str]] = [[str(path)]]
    while depths[-1]:
        found: deque[str] = deque()
        if not _each(lambda folder, found=found: found.extend(_empty(folder, deadline)), depths[-1], deadline):  # type: ignore[misc]
            return False
        depths.append(list(found))
    for folders in reversed(depths):
        _each(_rmdir, folders, deadline)
    return not os.path.lexists(path)


def _empty(folder: str, deadline: float | None) -> list[str]:
    """Remove the files of a folder and return its folders. What cannot be removed shows when the folder cannot."""
    folders = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in list(entries):
            if _out_of_time(deadline):
                break
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
            else:
                with contextlib.suppress(OSError):
                    _unlink(entry.path)
    return folders


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        retry(lambda: os.unlink(path), tries=2, pause=_PAUSE)


def _rmdir(folder: str) -> None:
    with contextlib.suppress(OSError):
        retry(lambda: os.rmdir(folder), tries=2, pause=_PAUSE)


def _out_of_time(deadline: float | None) -> bool:
    return deadline is not None and time.monotonic() > deadline


def _each(work: Callable[[str], None], folders: Iterable[str], deadline: float | None) -> bool:
    """Call `work` with each of `folders` in threads; returns whether all was done in time.

    The threads are daemons: one that is stuck in storage keeps nobody waiting after the deadline or at exit.
    """
    todo = deque(folders)

    def run() -> None:
        with contextlib.suppress(IndexError):
            while not _out_of_time(deadline):
                work(todo.popleft())

    threads = [threading.Thread(target=run, daemon=True) for _ in range(min(_THREADS, len(todo)))]
    started = []
    try:
        with contextlib.suppress(RuntimeError):  # no more processes allowed: those that there are will do
            for thread in threads:
                thread.start()
                started.append(thread)
        if not started:
            run()
        for thread in started:
            thread.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
    finally:
        todo_left = len(todo)
        todo.clear()  # an exception (Ctrl-C, SIGTERM) ends the threads too
    return not todo_left and not any(thread.is_alive() for thread in started)
