"""Work beside the main thread: where it is done, and what becomes of its errors."""

import threading
import time
from functools import partial

import pytest

from omezarr_proc.host.background import MOST_AT_ONCE, QUICK_SECONDS, Background, Beside, side_by_side


@pytest.mark.parametrize("at_once", [False, True])
def test_an_error_waits_until_it_is_asked_for(at_once: bool) -> None:
    def fail() -> None:
        raise OSError(28, "full")

    background = Background("test", fail, at_once=at_once)
    background.wait()
    with pytest.raises(OSError, match="full"):
        background.check()


def test_where_no_thread_is_allowed_the_caller_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    by: list[threading.Thread] = []
    Background("test", lambda: by.append(threading.current_thread())).wait()
    assert by == [threading.main_thread()]


def test_an_interrupt_of_the_caller_itself_is_not_kept_back() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Background("test", interrupt, at_once=True)


def test_what_was_quick_is_done_at_once_and_what_was_slow_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, beside = [0.0], Beside()
    at_once: list[bool] = []

    def work(seconds: float) -> None:
        clock[0] += seconds
        at_once.append(threading.current_thread() is threading.main_thread())

    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    for seconds in (0.0, 0.0, 2 * QUICK_SECONDS, 0.0, 0.0):
        beside.begin("test", lambda seconds=seconds: work(seconds)).wait()
    assert at_once == [False, True, True, False, True]


def test_side_by_side_all_are_done_at_a_time_and_come_in_order() -> None:
    gate = threading.Barrier(MOST_AT_ONCE)  # nobody gets through it alone

    def work(number: int) -> int:
        if number < MOST_AT_ONCE:
            gate.wait(30)
        return number

    assert side_by_side([partial(work, number) for number in range(MOST_AT_ONCE + 3)]) == [*range(MOST_AT_ONCE + 3)]
    assert side_by_side([]) == []


def test_side_by_side_an_error_is_raised_when_the_others_are_done() -> None:
    done: list[int] = []

    def work(number: int) -> None:
        if number == 1:
            raise OSError(28, "full")
        done.append(number)

    with pytest.raises(OSError, match="full"):
        side_by_side([partial(work, number) for number in range(5)])
    assert sorted(done) == [0, 2, 3, 4]


def test_side_by_side_where_no_thread_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert side_by_side([partial(int, number) for number in range(5)]) == [0, 1, 2, 3, 4]
