"""Who has a lock: the JSON object in a lock file, written and read. It serves messages, and to see that the file is ours.

A crash may have left a lock file empty, cut off or full of zeros, and others may have written anything into it.
"""

import errno
import json
import os
import secrets
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from omezarr_proc.model.errors import InTheWayError

_BEGIN = b'{"pid": '  # how all our lock files begin
_MOST_BYTES = 4096  # that are read of one


@dataclass(frozen=True)
class Holder:
    """Who has a lock, as its file tells; empty and 0 for what it does not tell, or not credibly.

    since   when it was taken, in seconds since 1970
    system  see `_system`
    """

    pid: int = 0
    host: str = ""
    since: int = 0
    system: str = ""


def check_ours(fd: int, path: Path) -> None:
    """Raise OutputError for a file that was not written by this program."""
    data = os.pread(fd, _MOST_BYTES, 0)
    if data.strip(b"\0") and not data.startswith(_BEGIN) and not _BEGIN.startswith(data):
        raise InTheWayError("is in the way and not of omezarr_proc: remove it, then run again", source=path)


def myself() -> bytes:
    """What this process writes into its lock files."""
    who = {"pid": os.getpid(), "host": socket.gethostname(), "since": int(time.time()), "system": _system(), "token": secrets.token_hex(8)}
    return json.dumps(who).encode() + b"\n"


def _system() -> str:
    """What tells this boot and this container's process ids from others; empty where nothing does."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() + " " + os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def read(fd: int) -> Holder:
    """Who a lock file names, as far as it does (yet)."""
    return holder_of(os.pread(fd, _MOST_BYTES, 0))


def holder_of(data: bytes) -> Holder:
    """Who the content of a lock file names."""
    try:
        found = json.loads(data)
        holder = Holder(found["pid"], found["host"], found["since"], found["system"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return Holder()
    whole = type(holder.pid) is type(holder.since) is int and 0 < holder.pid < 1 << 31 and 0 <= holder.since < 1 << 33
    named = isinstance(holder.host, str) and holder.host.isprintable() and isinstance(holder.system, str)
    return holder if whole and named else Holder()


def is_dead(holder: Holder) -> bool:
    """Whether the owner is certainly gone: it was on this system, and its process is no more."""
    if not holder.system or (holder.system, holder.host) != (_system(), socket.gethostname()):
        return False
    try:
        os.kill(holder.pid, 0)
    except OSError as error:
        return error.errno == errno.ESRCH
    return False


def moment(seconds: float) -> str:
    """A time since 1970 as a person reads it."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
    except (OverflowError, ValueError, OSError):
        return "an unknown time"
