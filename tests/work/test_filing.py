"""Filing: order within a folder, folders side by side, the bound, errors once, and no threads at all."""

import threading
import time

import pytest

from omezarr_proc.plan.kept import QUEUE_BYTES
from omezarr_proc.work import filing as module
from omezarr_proc.work.filing import MAX_THREADS, Filing, Ticket


class Tickets:
    """Tickets that note how they end."""

    def __init__(self) -> None:
        self.ended: list[tuple[str, Exception | None]] = []
        self._change = threading.Condition()

    def ticket(self, name: str) -> Ticket:
        def done(error: Exception | None) -> None:
            with self._change:
                self.ended.append((name, error))
                self._change.notify_all()

        return Ticket(done)

    def wait(self, count: int) -> None:
        with self._change:
            assert self._change.wait_for(lambda: len(self.ended) >= count, 10)


def test_files_of_a_folder_are_written_in_order_and_one_at_a_time() -> None:
    filing, tickets = Filing(), Tickets()
    written: dict[str, list[int]] = {f"folder {n}": [] for n in range(20)}
    busy = dict.fromkeys(written, 0)

    def write(folder: str, number: int) -> None:
        busy[folder] += 1
        assert busy[folder] == 1
        time.sleep(0.0005)
        written[folder].append(number)
        busy[folder] -= 1

    ticket = tickets.ticket("all")
    for number in range(30):
        for folder in written:
            filing.put(folder, 1, lambda folder=folder, number=number: write(folder, number), ticket)
    ticket.seal()
    tickets.wait(1)
    assert tickets.ended == [("all", None)]
    assert all(numbers == list(range(30)) for numbers in written.values())


def test_folders_are_worked_on_side_by_side_by_a_bounded_number_of_threads() -> None:
    filing, tickets, before = Filing(), Tickets(), threading.active_count()
    together = threading.Barrier(MAX_THREADS)
    ticket = tickets.ticket("all")
    for number in range(MAX_THREADS):
        filing.put(f"folder {number}", 1, lambda: together.wait(10) and None, ticket)
    ticket.seal()
    tickets.wait(1)
    assert tickets.ended == [("all", None)]
    ticket = tickets.ticket("more")
    for number in range(10 * MAX_THREADS):
        filing.put(f"folder {number}", 1, lambda: time.sleep(0.001), ticket)
    assert threading.active_count() - before <= MAX_THREADS
    ticket.seal()
    tickets.wait(2)


def test_where_files_are_quick_the_caller_writes_and_where_they_are_slow_threads_do() -> None:
    filing, tickets, by = Filing(), Tickets(), []
    clock = [0.0]
    written = threading.Event()

    def write(seconds: float) -> None:
        clock[0] += seconds
        by.append(threading.current_thread() is threading.main_thread())
        written.set()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.time, "monotonic", lambda: clock[0])
        ticket = tickets.ticket("all")
        for seconds in (0.0, 0.0, 0.0, 1.0, 0.0, 0.0):
            written.clear()
            filing.put("folder", 1, lambda seconds=seconds: write(seconds), ticket)
            assert written.wait(10)
            while filing._queues:  # the thread has yet to let go of the folder
                pass
        ticket.seal()
        tickets.wait(1)
    assert by == [False, True, True, True, False, True]  # the first is not known to be quick, the fourth shows that it is not


def test_one_folder_takes_one_thread() -> None:
    filing, tickets, before = Filing(), Tickets(), threading.active_count()
    ticket = tickets.ticket("all")
    for _ in range(100):
        filing.put("folder", 1, lambda: None, ticket)
    assert threading.active_count() - before <= 1
    ticket.seal()
    tickets.wait(1)


def test_no_more_bytes_wait_than_allowed() -> None:
    filing, tickets = Filing(), Tickets()
    hold, queued = threading.Event(), []
    ticket = tickets.ticket("all")

    def fill() -> None:
        for number in range(12):
            filing.put("folder", QUEUE_BYTES // 4, lambda: hold.wait(10) and None, ticket)
            queued.append(number)
        ticket.seal()

    filler = threading.Thread(target=fill)
    filler.start()
    time.sleep(0.2)
    assert len(queued) == 4
    hold.set()
    filler.join(10)
    tickets.wait(1)


def test_a_file_larger_than_the_bound_is_written_alone() -> None:
    filing, tickets = Filing(), Tickets()
    ticket = tickets.ticket("all")
    filing.put("folder", 3 * QUEUE_BYTES, lambda: None, ticket)
    ticket.seal()
    tickets.wait(1)
    assert tickets.ended == [("all", None)]


def test_an_error_comes_back_once_with_its_own_ticket() -> None:
    filing, tickets = Filing(), Tickets()
    written = []

    def fail() -> None:
        raise OSError(28, "full")

    bad, good = tickets.ticket("bad"), tickets.ticket("good")
    for _ in range(3):
        filing.put("folder", 1, fail, bad)
        filing.put("folder", 1, lambda: written.append(1), good)
    bad.seal()
    good.seal()
    tickets.wait(2)
    time.sleep(0.05)
    assert sorted(name for name, _ in tickets.ended) == ["bad", "good"]
    assert str(dict(tickets.ended)["bad"]) == "[Errno 28] full"
    assert dict(tickets.ended)["good"] is None
    assert len(written) == 3


def test_a_ticket_ends_only_when_sealed() -> None:
    tickets = Tickets()
    ticket = tickets.ticket("task")
    ticket.add()
    ticket.settle()
    assert tickets.ended == []
    ticket.seal()
    assert tickets.ended == [("task", None)]


def test_where_no_thread_is_allowed_the_caller_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refused(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(module.threading, "Thread", Refused)
    filing, tickets, by = Filing(), Tickets(), []
    ticket = tickets.ticket("all")
    for folder in ("a", "b", "a"):
        filing.put(folder, QUEUE_BYTES, lambda: by.append(threading.get_ident()), ticket)
    ticket.seal()
    assert tickets.ended == [("all", None)]
    assert by == [threading.get_ident()] * 3


def test_after_an_error_the_other_files_of_that_task_are_not_written() -> None:
    filing, tickets = Filing(), Tickets()
    gate, written = threading.Event(), []

    def fail() -> None:
        gate.wait(10)
        raise OSError(5, "broken")

    lost, kept = tickets.ticket("lost"), tickets.ticket("kept")
    filing.put("folder", 1, fail, lost)
    for number in range(3):
        filing.put("folder", 1, lambda number=number: written.append(("lost", number)), lost)
        filing.put("folder", 1, lambda number=number: written.append(("kept", number)), kept)
    lost.seal()
    kept.seal()
    gate.set()
    tickets.wait(2)
    assert written == [("kept", 0), ("kept", 1), ("kept", 2)]
    assert {name: str(error) for name, error in tickets.ended} == {"lost": "[Errno 5] broken", "kept": "None"}
