"""SIGTERM and Ctrl-C at any moment: out in time with the right status and one line, and the next run goes on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from runs import (
    EAGER_COMMAND,
    FLAGS,
    ROOT,
    TOOLS,
    Program,
    Reference,
    files_in,
    needs_root,
    needs_shared,
    processes,
    sandbox,
    sandboxed,
    stack_run,
)

from omezarr_proc.engine.local.watch import thread_states

__all__ = ["stack_run"]  # fixtures

LIMIT = 3.0
GOES_ON = "; what is finished is kept: the same command goes on from there\n"
LINES = {signal.SIGTERM: f"omezarr-proc: stopped by SIGTERM{GOES_ON}", signal.SIGINT: f"omezarr-proc: interrupted{GOES_ON}"}
STATUS = {signal.SIGTERM: 143, signal.SIGINT: 130}


def at_files(count: int) -> Callable[[Path, Program], object]:
    return lambda out, program: files_in(out) >= count


MOMENTS: dict[str, Callable[[Path, Program], object]] = {
    "starting": lambda out, program: program.nursery(),
    "first files": at_files(4),
    "in the middle": at_files(80),
    "near the end": at_files(155),
    "publishing": lambda out, program: (out / ".stack.ome.zarr.partial/zarr.json").exists() or (out / "stack.ome.zarr").exists(),
}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("moment", [name if name == "in the middle" else pytest.param(name, marks=pytest.mark.slow) for name in MOMENTS])
def test_signal_at_a_moment(stack_run: Reference, tmp_path: Path, moment: str, number: signal.Signals) -> None:
    with Program([stack_run.source, "--output-dir", tmp_path, *FLAGS], EAGER_COMMAND) as program:
        hit = program.wait_for(lambda: MOMENTS[moment](tmp_path, program))
        at = time.monotonic()
        program.process.send_signal(number)
        status, text = program.finish()
        seconds = time.monotonic() - at
        assert program.left() == {}
    assert seconds < LIMIT
    if hit and (status != 0 or moment == "in the middle"):
        assert (status, text) == (STATUS[number], LINES[number])
    stack_run.check_nothing_published(tmp_path)
    stack_run.complete(tmp_path)


def test_ctrl_c_on_a_terminal_goes_to_all_processes_and_shows_one_line(stack_run: Reference, tmp_path: Path) -> None:
    """A pseudo-terminal, so that the signal goes to the whole foreground group as the terminal sends it."""
    main, terminal = os.openpty()
    command = [sys.executable, "-m", "omezarr_proc", str(stack_run.source), "--output-dir", str(tmp_path), "--tile-size", "128"]
    take = "import os, sys, fcntl, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
    with subprocess.Popen([sys.executable, "-c", take, *command], stdin=terminal, stdout=terminal, stderr=terminal, cwd=ROOT) as program:
        os.close(terminal)
        deadline = time.monotonic() + 30
        while files_in(tmp_path) < 40 and program.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        os.write(main, b"\x03")
        text = b""
        while True:
            try:
                text += os.read(main, 4096)
            except OSError:  # all have closed the terminal
                break
        assert program.wait(10) == 130
    os.close(main)
    shown = text.decode()
    assert "Traceback" not in shown
    assert shown.replace("\r\n", "\n").endswith(LINES[signal.SIGINT])
    stack_run.complete(tmp_path)


def test_a_second_signal_on_the_way_out_changes_nothing(stack_run: Reference, tmp_path: Path) -> None:
    with Program([stack_run.source, "--output-dir", tmp_path, *FLAGS], EAGER_COMMAND) as program:
        assert program.wait_for(lambda: files_in(tmp_path) > 40)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            program.process.send_signal(number)
            time.sleep(0.02)
        status, text = program.finish()
        assert program.left() == {}
    assert (status, text) == (143, LINES[signal.SIGTERM])


SWALLOW = """
import sys, time, types, omezarr_proc.app
fake = types.ModuleType("omezarr_proc.app.batch")
class Grave:
    def __del__(self):
        time.sleep(30)
def run(settings, inputs, report, **more):
    print("running", flush=True)
    Grave()
    time.sleep(30)
fake.run = run
sys.modules["omezarr_proc.app.batch"] = omezarr_proc.app.batch = fake
import omezarr_proc.__main__
sys.exit(omezarr_proc.cli.main(sys.argv[1:]))
"""


def test_an_exception_that_is_swallowed_still_ends_the_program(stack_run: Reference, tmp_path: Path) -> None:
    """Python drops what is raised in a destructor or a callback; the program must end all the same."""
    with Program([stack_run.source, "--output-dir", tmp_path], [sys.executable, "-c", SWALLOW]) as program:
        assert program.process.stdout is not None
        assert program.process.stdout.readline() == "running\n"
        at = time.monotonic()
        program.process.terminate()
        status, _ = program.finish(10)
    assert (status, time.monotonic() - at < LIMIT) == (143, True)


@pytest.mark.slow
@sandboxed
@pytest.mark.parametrize("seconds", [0.5, 0.8, 1.1, 1.4, 1.7])
def test_sigterm_as_process_1(stack_run: Reference, tmp_path: Path, seconds: float) -> None:
    command = [sys.executable, "-m", "omezarr_proc", stack_run.source, "--output-dir", tmp_path / "out", *FLAGS]
    options = ["512", "pid1=1", f"term_after={seconds}", "grace=5"]
    status, text, report = sandbox(options, command, tmp_path / "report.json")
    assert status in (143, 0), text
    assert (report["left_processes"], report["left_shm"], report["oom_kill"]) == ([], [], 0)
    assert float(str(report["seconds"])) < seconds + LIMIT
    stack_run.complete(tmp_path / "out")


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.shared
@needs_root
@needs_shared
@pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="needs FUSE")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_storage_that_hangs_delays_the_exit_by_no_more_than_that(stack_run: Reference, tmp_path: Path, number: signal.Signals) -> None:
    """The storage stops while none of the program's calls is in its hands.

    A call that it has taken on ends with its answer alone: Linux lets nobody give that up, not even by SIGKILL. One that waits to be
    taken on, as all have to from then on, can be given up. Its end is that of its memory: after that, whichever thread is the last one
    closes its files for it, and FUSE is asked about each.
    """
    out = tmp_path / "out"
    slow = [TOOLS / "slow_fs.sh", "--dir", out, "--ms", "20", "--"]
    command = [*slow, sys.executable, "-m", "omezarr_proc"]
    with Program([stack_run.source, "--output-dir", out, *FLAGS], command) as program:

        def named(text: str) -> list[int]:
            return [pid for pid, words in processes(program.mark).items() if text in words and "slow_fs" not in words]

        assert program.wait_for(lambda: files_in(out) > 8)
        converters, daemons = named("-m omezarr_proc"), named("slowfs_fuse")
        main = min(converters)
        assert daemons, processes(program.mark)
        stop(converters)  # each call is answered before its process stops
        stop(daemons)
        try:
            for pid in converters:
                os.kill(pid, signal.SIGCONT)
            assert program.wait_for(lambda: any(map(waits_for_fuse, converters)))
            # A thread that has not yet heard of SIGCONT is given no other signal: another one would get it, and the first sleep on.
            assert program.wait_for(lambda: "R" not in thread_states(main))
            at = time.monotonic()
            os.kill(main, number)
            assert program.wait_for(lambda: main not in processes(program.mark), 30)
            seconds = time.monotonic() - at
        finally:
            for pid in daemons:
                os.kill(pid, signal.SIGCONT)
        status, text = program.finish()
    assert seconds < LIMIT
    assert status == STATUS[number], text
    stack_run.complete(out)


def waits_for_fuse(pid: int) -> bool:
    """Whether a thread of the process waits for an answer of a FUSE daemon."""
    return any("request_wait_answer" in path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/wchan"))


def stop(pids: Sequence[int]) -> None:
    """Stop processes, and wait until all of their threads have stopped."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + 10
    while set("".join(map(thread_states, pids))) - {"T"}:
        assert time.monotonic() < deadline
        time.sleep(0.005)
