"""The lock of a dataset in an object store: a conditional put, renewed while its holder lives, by the store's clock.

It is taken over when its holder's process is known to be gone, or has not renewed it for STALE seconds. Of a store without conditional
puts the log says that two runs are not kept apart. The share of a part has a lock of its own.
"""

import contextlib
import json
import threading
import time
from types import TracebackType

from loguru import logger

from omezarr_proc.host.background import Background
from omezarr_proc.host.patience import give_up
from omezarr_proc.host.store_errors import store_error
from omezarr_proc.model.address import Address
from omezarr_proc.model.errors import StoreUnavailableError
from omezarr_proc.model.part import Part
from omezarr_proc.publish.hidden import IN_STORE
from omezarr_proc.publish.holder import holder_of, is_dead, moment, myself
from omezarr_proc.publish.lock import LockedError
from omezarr_proc.store.remote import Bucket, UnconditionalError, Version

HEARTBEAT = 10.0
STALE = 60.0
LOCK = f"{IN_STORE}lock"
PART_LOCKS = f"{IN_STORE}part-locks/"
_CONDITIONAL: set[Address] = set()  # the buckets of which it is known by now that they have conditional puts


class StoreLock:
    """`with StoreLock(dataset):` holds the right to work on a dataset of an object store, or on the share of a part of it.

    Raises LockedError when another run has it, OutputError when the lock cannot be made.
    """

    def __init__(self, dataset: Address, part: Part | None = None, *, heartbeat: float = HEARTBEAT, stale: float = STALE) -> None:
        """`heartbeat`: seconds between renewals; `stale`: how long a lock that is not renewed is still another run's."""
        self._dataset, self._bucket = dataset, Bucket(dataset)
        self._what = f"part {part} of this dataset" if part else "this dataset"
        self._key = lock_of(part) if part else LOCK
        self._heartbeat, self._stale = heartbeat, stale
        self._me = myself()
        self._beats = 0
        self._version: Version | None = None
        self._lost, self._renewed = False, time.monotonic()
        self._ending = threading.Event()
        self._heart: threading.Thread | None = None

    def __enter__(self) -> "StoreLock":
        try:
            self._take()
            self._probing = Background("lock", self._probe)
            self._heart = threading.Thread(target=self._beat, daemon=True)
            self._heart.start()
        except OSError as error:
            raise store_error("cannot lock the dataset", error, self._dataset) from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ending.set()
        self._probing.wait()  # else it would put what is removed next
        if self._heart:
            self._heart.join(self._heartbeat)
        if isinstance(error, StoreUnavailableError):  # a worker has waited for it
            give_up(self._dataset.root)
        with contextlib.suppress(OSError):
            if self._mine():
                self._bucket.delete(self._key)

    def check(self) -> None:
        """Raise LockedError when the lock was lost, since another run took this one for dead. To be called before publishing."""
        try:
            self._probing.wait()
            self._probing.check()
            mine = self._mine()
        except OSError as error:
            raise store_error("cannot read the lock", error, self._dataset) from error
        if self._lost or not mine:
            raise LockedError(
                f"another run took over {self._what}, since this one gave no sign of life for {self._stale:.0f} s", source=self._dataset
            )

    def check_doubtful(self) -> None:
        """See `Lock`. A store without conditional puts renews nothing."""
        if self._lost or (self._version is not None and time.monotonic() > self._renewed + self._stale):
            self.check()

    def _take(self) -> None:
        try:
            version = self._bucket.create(self._key, self._text())
        except UnconditionalError:
            self._do_without()
            return
        seen: Version | None = None
        whose, since = "", time.monotonic()
        while version is None:
            try:
                there, now = self._bucket.read(self._key)
            except FileNotFoundError:
                version = self._bucket.create(self._key, self._text())
                continue
            holder = holder_of(there)
            silent = time.monotonic() - since > self._stale if now == seen else False
            if is_dead(holder) or silent or self._age() > self._stale:
                version = self._bucket.replace(self._key, self._text(), now)
                continue
            if seen and now != seen and _token(there) == whose:  # renewed; another holder each time has it for moments
                who = f" (process {holder.pid} on {holder.host} since {moment(holder.since)})" if holder.pid else ""
                raise LockedError(
                    f"another run{who} works on {self._what}: wait until it is done or stop it, then run again", source=self._dataset
                )
            seen, whose, since = now, _token(there), since if now == seen else time.monotonic()
            time.sleep(self._heartbeat / 10)
        self._version, self._renewed = version, time.monotonic()

    def _probe(self) -> None:
        """Find out whether the store knows conditions: one that does not puts what it is told to, also where something is."""
        root = self._dataset.root
        if self._version and root not in _CONDITIONAL:
            if self._bucket.create(self._key, b"{}\n"):
                self._version = None
                self._do_without()
            else:
                _CONDITIONAL.add(root)

    def _do_without(self) -> None:
        logger.warning(f"{self._dataset}: this store has no conditional puts: two runs at once would not be kept apart")
        self._bucket.put(self._key, self._text())

    def _age(self) -> float:
        """How long ago the lock was renewed, by the store's clock: that of an object which is put now."""
        probe = f"{IN_STORE}now"
        try:
            self._bucket.put(probe, b"")
            return self._bucket.changed(probe) - self._bucket.changed(self._key)
        except FileNotFoundError:
            return 0.0
        finally:
            with contextlib.suppress(OSError):
                self._bucket.delete(probe)

    def _text(self) -> bytes:
        self._beats += 1
        return json.dumps(json.loads(self._me) | {"beat": self._beats}).encode() + b"\n"

    def _mine(self) -> bool:
        try:
            return _token(self._bucket.get(self._key)) == _token(self._me)
        except FileNotFoundError:
            return False

    def _beat(self) -> None:
        while not self._ending.wait(self._heartbeat):
            with contextlib.suppress(OSError):
                if self._version is None:
                    continue
                try:
                    renewed = self._bucket.replace(self._key, self._text(), self._version)
                except UnconditionalError:  # who took it over meanwhile is noticed by `check`
                    self._version = None
                    continue
                if renewed is None:
                    self._lost = True
                    return
                self._version, self._renewed = renewed, time.monotonic()


def lock_of(part: Part) -> str:
    """The key of the lock of a part's share, below the dataset's."""
    return f"{PART_LOCKS}{part.number}-of-{part.of}"


def is_held(dataset: Address) -> bool:
    """Whether some run has the lock of a dataset, or was killed with it where that cannot be told yet. Raises OSError."""
    try:
        return not is_dead(holder_of(Bucket(dataset).get(LOCK)))
    except FileNotFoundError:
        return False


def _token(data: bytes) -> str:
    """What tells the holder that a lock names from all others; empty where it names none."""
    try:
        return str(json.loads(data).get("token", ""))
    except (ValueError, AttributeError, RecursionError):
        return ""
