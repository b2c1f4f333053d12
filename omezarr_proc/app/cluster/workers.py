"""The cluster as it is: its scheduler and its workers.

What is asked of a worker is a task that no other may take, so that it is known who has what, and what is lost with whom.
"""

import logging
import os
import secrets
import time
from collections.abc import Callable, Set
from importlib import import_module
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from omezarr_proc.app.cluster.errand import Question, check, versions
from omezarr_proc.app.inputs import Input
from omezarr_proc.model.address import Address, Place
from omezarr_proc.model.errors import ClusterError, ProcError, SettingsError
from omezarr_proc.model.text import one_line
from omezarr_proc.store.places import objects_at

if TYPE_CHECKING:
    from distributed import Future

# For a scheduler, the answers of new workers, and a first worker.
SCHEDULER_SECONDS = 10.0
CHECK_SECONDS = 30.0
WORKER_SECONDS = 60.0


class Workers:
    """`with Workers(address) as workers:` those of a cluster; what is asked of them and not answered at the end is called off."""

    def __init__(self, address: str) -> None:
        """Raises SettingsError where the extra is not installed, ClusterError where no scheduler answers."""
        try:
            from distributed import Client
        except ImportError:
            raise SettingsError(
                "CLUSTER needs the package distributed, here and on each worker: pip install 'omezarr-proc[dask]'"
            ) from None
        self._address = address
        self._levels = {name: logging.getLogger(name).level for name in ("distributed", "distributed.client")}
        for name in self._levels:
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what is wrong is said by us, in a line
        try:
            self._client = Client(address, timeout=SCHEDULER_SECONDS, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ClusterError(f"CLUSTER={address}: no scheduler answers there ({one_line(str(error))})") from None
        self._run = secrets.token_hex(4)
        self._asked = 0
        self._open: dict[str, Future] = {}
        self._answers: SimpleQueue[Future] = SimpleQueue()

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *error: object) -> None:
        if self._open and self._client.status == "running":
            self._client.cancel([*self._open.values()], force=True)
        self._client.close(timeout=1)
        for name, level in self._levels.items():
            logging.getLogger(name).setLevel(level)

    def names(self) -> dict[str, int]:
        """All that there are, with their threads. Raises ClusterError where the scheduler is gone."""
        try:
            return dict(self._client.nthreads())
        except Exception as error:
            raise ClusterError(
                f"CLUSTER={self._address}: the scheduler does not answer any more ({one_line(str(error))})",
                hint="what is finished is on record; run it again to go on from there",
            ) from None

    def first(self) -> dict[str, int]:
        """Those that are there when the first is. Raises ClusterError where none comes."""
        give_up = time.monotonic() + WORKER_SECONDS
        while not (names := self.names()):
            if time.monotonic() > give_up:
                raise ClusterError(f"CLUSTER={self._address}: the scheduler has no worker: start some (dask worker {self._address})")
            time.sleep(0.2)
        return names

    def unfit(self, names: Set[str], output_dir: Place, first: Input) -> dict[str, ProcError]:
        """Why workers cannot be used, by name: each is asked for its versions, and for an object that is put into OUTPUT_DIR meanwhile."""
        objects, key, content = objects_at(output_dir), f".cluster-{secrets.token_hex(8)}", secrets.token_bytes(16)
        of_first = None if isinstance(first.path, Address) else (first.path, os.path.getsize(first.path))
        question = Question(versions(), output_dir, key, content, of_first)
        # First what Dask itself can say: a worker that cannot read a question ends.
        unfit = self._complaints(names, import_module, check.__module__)
        objects.put(key, content)
        try:
            return unfit | self._complaints(names - unfit.keys(), check, question)
        finally:
            objects.delete(key)

    def ask(self, worker: str, work: Callable[..., Any], *arguments: Any) -> str:
        """Have a worker do something; returns what its answer will be called."""
        future = self._submit(worker, work, *arguments)
        self._open[future.key] = future
        future.add_done_callback(self._answers.put)
        return str(future.key)

    def answer(self, seconds: float) -> tuple[str, Any, str] | None:
        """What an answer is called, and either it or why there is none; None where none comes within so many seconds."""
        try:
            future = self._answers.get(timeout=seconds)
        except Empty:
            return None
        if self._open.pop(future.key, None) is None:  # it was given up
            return None
        try:
            return future.key, future.result(timeout=CHECK_SECONDS), ""
        except Exception as error:
            return future.key, None, one_line(str(error)) or type(error).__name__
        finally:
            future.release()

    def give_up(self, answer: str) -> None:
        """Nobody wants this answer any more."""
        if future := self._open.pop(answer, None):
            future.cancel(force=True)

    def _submit(self, worker: str, work: Callable[..., Any], *arguments: Any) -> "Future":
        self._asked += 1
        key = f"omezarr_proc-{self._run}-{self._asked}"
        return self._client.submit(work, *arguments, workers=[worker], key=key, retries=0, pure=False)

    def _complaints(self, names: Set[str], work: Callable[..., Any], *arguments: Any) -> dict[str, ProcError]:
        """Have workers do something; returns those that cannot, and why."""
        futures = {name: self._submit(name, work, *arguments) for name in names}
        give_up, looked, there = time.monotonic() + CHECK_SECONDS, time.monotonic(), names
        while any(futures[name].status == "pending" for name in there & futures.keys()) and time.monotonic() < give_up:
            time.sleep(0.02)
            if time.monotonic() > looked + 1:  # who has gone is not waited for
                there, looked = self.names().keys(), time.monotonic()
        return {name: error for name, future in futures.items() if (error := self._complaint(future))}

    def _complaint(self, future: "Future") -> ProcError | None:
        if future.status == "finished":
            return None
        if future.status == "pending":
            future.cancel(force=True)
            return ClusterError(f"it is gone, or has not answered for {CHECK_SECONDS:.0f} s")
        error = future.exception()
        if isinstance(error, ProcError):
            return error
        return SettingsError(f"it has no omezarr_proc of this version ({one_line(str(error))}): install the same everywhere")
