"""Workers that do not move: who is told of, when, how often, and who is given up; by a clock and CPU times of the test's own."""

import os
import signal
import subprocess
import sys

import pytest

from omezarr_proc.engine.local.watch import Still, Watch, thread_states
from omezarr_proc.model.region import Region, Y
from omezarr_proc.plan.passes import Pass
from omezarr_proc.work.tasks import Count, Load, Make, Spool, Task, Write, doing


class Time:
    """Seconds that go by when the test says so, and what each process has used of them."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.used: dict[int, float] = {}

    def watch(self, stall: float, notice: float = 30.0) -> Watch:
        return Watch(stall, notice, lambda: self.now, lambda pid: self.used.get(pid, 0.0))

    def pass_by(self, watch: Watch, seconds: int, *busy: int) -> list[Still]:
        """Look every second, as the pool does at least that often."""
        found: list[Still] = []
        for _ in range(seconds):
            self.now += 1
            found += watch.look(busy)
        return found


def told(found: list[Still]) -> list[tuple[int, bool]]:
    return [(round(still.seconds), still.stuck) for still in found]


def test_told_after_30_s_then_each_time_after_twice_as_long_and_given_up_in_the_end() -> None:
    time = Time()
    watch = time.watch(600)
    assert told(time.pass_by(watch, 606, 7)) == [(30, False), (60, False), (120, False), (240, False), (480, False), (600, True)]


def test_0_seconds_give_nobody_up() -> None:
    time = Time()
    assert not any(stuck for _, stuck in told(time.pass_by(time.watch(0), 10_000, 7)))


@pytest.mark.parametrize("stall", [1, 6, 29, 31])
def test_a_short_time_counts_alike(stall: int) -> None:
    time = Time()
    watch = time.watch(stall)
    found = []
    while not found or not found[-1].stuck:
        time.now += watch.due + 0.001
        found += watch.look([7])
    assert stall <= found[-1].seconds <= 4 / 3 * stall


def test_who_answers_or_uses_the_cpu_moves() -> None:
    time = Time()
    watch = time.watch(600)
    for _ in range(50):
        assert time.pass_by(watch, 20, 7, 8) == []
        watch.moved(7)
        time.used[8] = time.used.get(8, 0.0) + 0.01
    assert [still.pid for still in time.pass_by(watch, 40, 7, 8)] == [7, 8]


def test_who_has_nothing_to_do_does_not_count() -> None:
    time = Time()
    watch = time.watch(600)
    assert time.pass_by(watch, 25, 7) == []
    assert time.pass_by(watch, 1000) == []
    assert time.pass_by(watch, 25, 7) == []


def test_that_all_were_stopped_is_held_against_nobody() -> None:
    """A paused container, Lambda between two invocations: the clock goes on, looks do not."""
    time = Time()
    watch = time.watch(600)
    time.pass_by(watch, 25, 7)
    time.now += 86400
    assert time.pass_by(watch, 1, 7) in ([], [Still(7, 30.0, False)])


def test_the_states_of_a_process_s_threads() -> None:
    code = "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start(); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        os.kill(process.pid, signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)
        assert thread_states(process.pid) == "TT"
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert thread_states(process.pid) == "Z"
    assert thread_states(process.pid) == ""


HALVES, BANDS = (1, 1, 1, 2, 2), (1, 1, 1, 512, 4096)
PASS, LATER = Pass(None, HALVES, 0, 2, BANDS), Pass(2, HALVES, 3, 4, BANDS)
BAND = Region((1, 0, 3, 512, 0), (2, 1, 4, 900, 700))
PART = BAND.along(Y, 512, 520)


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (Load(PASS, 0, BAND, PART), "reading the TIFF for rows 512 to 519 of level 0"),
        (Load(LATER, 0, BAND, PART), "reading level 2 for rows 512 to 519 of level 3"),
        (Write(PASS, 0, BAND, 1, Region((1, 0, 3, 1, 0), (2, 1, 4, 2, 2))), "storing level 1 of the band with rows 512 to 899 of level 0"),
        (Make(PASS, 0, (BAND,)), "reading and storing rows 512 to 899 of level 0"),
        (Spool(BAND, 0), "decoding the planes of the TIFF from t=1 c=0 z=3 on"),
        (Count(2, 0, ((0, 0),)), "counting the pixels of level 2 for the display windows"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_worker_does_in_the_user_s_words(task: Task, words: str) -> None:
    assert doing(task) == words
