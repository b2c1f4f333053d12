"""A process with the shim of faults preloaded and the program imported, which forks a run of the program for each fault."""

import ctypes
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

SHIM = Path(__file__).with_name("faultshim.c")
SHORT, COUNT = 0, -1  # what `Fault.error` can be beside an errno
SECONDS = 60  # after which a run hangs
# What every run imports when it comes to it; once for all of them, since importing is not what is tested.
IMPORTED = (
    *(f"imagecodecs._{codec}" for codec in ("deflate", "imcd", "lzma", "zlib", "zstd")),
    *(f"omezarr_proc.{module}" for module in ("app.account", "app.batch", "app.log", "app.metrics", "app.together", "check.verdict")),
    *(f"omezarr_proc.build.{module}" for module in ("certified", "image", "one_file", "preview")),
    *(f"omezarr_proc.{module}" for module in ("engine.local.engine", "publish.brief", "publish.whole")),
    *(f"omezarr_proc.tiff.{module}" for module in ("describe.images", "file.coming", "read.lzw", "read.reader", "read.spool")),
    *("difflib", "encodings.utf_8_sig", "psutil", "pwd", "zarr.storage"),
)


@dataclass(frozen=True)
class Fault:
    """The `nth` call of one of `kinds` below a folder fails with `error`; with `sticky` all calls after it too."""

    kinds: str
    nth: int
    error: int
    sticky: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of a run: its status (None: it hung), what it printed, how many calls there were, and which one failed first."""

    status: int | None
    text: str
    calls: int
    hit: str


class Runner:
    """Runs the program with faults on paths below `folder`."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def run(self, folder: Path, arguments: Sequence[str | Path], fault: Fault) -> Outcome:
        """Run the program to its end."""
        assert self._process.stdin is not None and self._process.stdout is not None
        order = [str(folder), [*map(str, arguments)], fault.kinds, fault.nth, fault.error, fault.sticky]
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return Outcome(*json.loads(self._process.stdout.readline()))


@contextmanager
def runner(folder: Path) -> Iterator[Runner]:
    """A runner whose shim is compiled into `folder`."""
    shim = folder / "faultshim.so"
    compiler = (sysconfig.get_config_var("CC") or "cc").split()
    subprocess.run([*compiler, "-shared", "-fPIC", "-O1", "-o", shim, SHIM, "-ldl"], check=True)
    environ = os.environ | {"LD_PRELOAD": str(shim), "PYTHONPATH": str(SHIM.parents[2])}
    command = [sys.executable, __file__, shim]
    with subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Runner(process)
        assert process.stdin is not None
        process.stdin.close()


def _serve(shim: ctypes.CDLL) -> None:
    for module in IMPORTED:
        importlib.import_module(module)
    from omezarr_proc.__main__ import run
    from omezarr_proc.host import faults

    faults.time = SimpleNamespace(sleep=lambda seconds: None)  # passing errors pass at once
    shim.fault_hit.restype = ctypes.c_char_p
    gc.freeze()  # no collection of a run writes to pages that it shares with this process
    for order in sys.stdin:
        folder, arguments, kinds, nth, error, sticky = json.loads(order)
        reading, writing = os.pipe()
        if (pid := os.fork()) == 0:
            os.close(reading)
            os.setpgid(0, 0)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(writing, 1)
            os.dup2(writing, 2)
            os.close(writing)
            shim.fault_arm(os.fsencode(folder), kinds.encode(), nth, error, sticky)
            sys.argv[1:] = arguments
            run()
        os.close(writing)
        watch = threading.Timer(SECONDS, os.killpg, (pid, signal.SIGKILL))
        watch.start()
        with open(reading, errors="replace") as output:
            text = output.read()
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        watch.cancel()
        watch.join()
        print(json.dumps([None if code == -9 else code, text, shim.fault_calls(), os.fsdecode(shim.fault_hit())]), flush=True)


if __name__ == "__main__":
    _serve(ctypes.CDLL(sys.argv[1]))
