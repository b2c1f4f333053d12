"""A worker process: answers tasks until the main process closes the connection.

It opens what a task names, touches the part of the slot that the task owns, and waits for nobody but the main process. It logs nothing;
what goes wrong travels back as the answer.
"""

import contextlib
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle

from omezarr_proc.engine.local.arena import ArenaMap
from omezarr_proc.host.quiet import quiet_libraries
from omezarr_proc.store.codec import without_threads
from omezarr_proc.work.bench import Bench
from omezarr_proc.work.filing import Filing, Ticket
from omezarr_proc.work.replies import Done, Noted, Reply, Stored
from omezarr_proc.work.tasks import Job, OfJob, Promise, Solo, Storing


def serve(connection: Connection, memory_fd: int) -> None:
    """Answer every task with the `Reply` to it, or `Failed`; then, when the files of a task are on disk, with `Stored` or `Failed`.

    `Noted` can come at any time. A `Job` says what the next tasks are about, but for a `Solo`, which needs none; it is followed by the
    spool file's descriptor where it spools.
    """
    arena, filing = ArenaMap(memory_fd), Filing()
    sending = threading.Lock()  # filing's threads answer too
    bench: Bench | None = None

    def send(reply: Reply) -> None:
        with sending, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.send(reply)

    with quiet_libraries(), without_threads():
        while True:
            try:
                message = connection.recv()
                if isinstance(message, Job):
                    if bench:
                        bench.close()
                    spool = recv_handle(connection) if "spool" in message.access else None
                    bench = Bench(message, arena.buffer, filing, spool, lambda text: send(Noted(text)))
                    continue
                if isinstance(message, Solo):
                    send(Done(message.run(filing)))
                    continue
                if isinstance(message, Promise):
                    assert bench is not None
                    bench.expect(message)
                    continue
            except (EOFError, ConnectionResetError):
                return
            assert bench is not None  # the pool sends the job before any task
            _answer(bench, message, send)


def _answer(bench: Bench, task: OfJob, send: Callable[[Reply], None]) -> None:
    """Do the task and send what there is to say of it."""
    ticket = Ticket(lambda error: send(bench.failure(error) if error else Stored(task)))  # type: ignore[arg-type]
    try:
        reply = bench.do(task, ticket)
    except Exception as error:  # whatever a codec raises on a broken file must reach the main process, and the worker go on
        send(bench.failure(error))
        return
    send(reply)
    if isinstance(task, Storing):
        ticket.seal()
