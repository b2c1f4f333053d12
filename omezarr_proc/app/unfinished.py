"""Which datasets are done, and what runs have noted of those that are being made: what of them is done, at work, stopped or not begun.

Nothing is written but the lock that tells whether somebody is at work; in an object store nothing at all.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from omezarr_proc.app import clean_store
from omezarr_proc.app.clean import folders
from omezarr_proc.model.address import Address
from omezarr_proc.model.part import Part
from omezarr_proc.publish.existing import dataset_at
from omezarr_proc.publish.hidden import IN_STORE, dataset_of, hidden_files, part_files, part_target, record_path
from omezarr_proc.publish.history import History, read, recorded_key
from omezarr_proc.publish.in_store import InStoreRoot
from omezarr_proc.publish.lock import is_held
from omezarr_proc.publish.store_lock import LOCK, STALE, lock_of
from omezarr_proc.publish.store_record import record_of
from omezarr_proc.publish.store_shares import done_parts, noted
from omezarr_proc.store.opening import read_file
from omezarr_proc.store.remote import Bucket


@dataclass(frozen=True)
class Work:
    """What one record tells: whether it is done, somebody is at work or it was stopped; bytes that are stored, and how much that is."""

    state: str
    bytes: int
    percent: int | None


@dataclass(frozen=True)
class Fields:
    """Of the fields of a plate how many are made, and the paths of those that are not, in their order."""

    made: int
    missing: list[str]


@dataclass(frozen=True)
class Unfinished:
    """A dataset that is being made.

    run    what a run without parts, or the part that publishes, has noted of it
    of     how many parts share the batch; the lists hold the numbers of those that have a share of this dataset
    fields of a plate which are made and which are not
    """

    dataset: str
    run: Work | None
    of: int = 0
    done: list[int] = field(default_factory=list)
    working: list[int] = field(default_factory=list)
    stopped: list[int] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    bytes: int = 0
    fields: Fields | None = None

    @property
    def again(self) -> list[str]:
        """The parts that are to be started: where all are done, one of them publishes."""
        numbers = self.stopped + self.missing
        if not numbers and not self.working and (self.run is None or self.run.state != "working"):
            numbers = self.done[:1]
        return [str(Part(number, self.of)) for number in sorted(numbers)]


def look(root: Path) -> tuple[list[str], list[Unfinished]]:
    """The datasets below a folder that are done, and those that are being made. Raises OSError."""
    done, unfinished = [], []
    for folder in folders(root):
        if dataset_at(folder):
            done.append(str(folder))
        inner = [folder / name for name in sorted(os.listdir(folder)) if name.lower().endswith(".zarr") and name[0] != "."]
        done += [str(path) for path in inner if dataset_at(path)]
        for place in (folder, *(path for path in inner if path.is_dir())):  # one that OUTPUT_LAYOUT=root makes hides its files in itself
            for name in sorted({name for name, role, _ in hidden_files(place) if role == "record"}):
                unfinished.append(_unfinished(place / name))
    return done, unfinished


def look_in_store(root: Address) -> tuple[list[str], list[Unfinished]]:
    """The same of an object store. Raises OSError, and OutputError where something there cannot be read."""
    done, unfinished = [], []
    for folder, inner, node in clean_store.folders(root):
        hidden = any(found.name == IN_STORE.rstrip("/") for found in inner)
        if not node and not hidden:
            continue
        standing = InStoreRoot.look(folder)
        if standing.taken:
            done.append(str(folder))
        elif standing.unfinished:
            unfinished.append(_unfinished_in_store(folder))
    return done, unfinished


def _unfinished_in_store(dataset: Address) -> Unfinished:
    bucket = Bucket(dataset)

    def is_locked(lock: str) -> bool:
        return bucket.exists(lock) and time.time() - bucket.changed(lock) < STALE

    data = record_of(bucket)
    key = recorded_key(data) or ""
    own = (key and read(data, key)) or History()
    histories = noted(bucket, key) if key else {}
    held = is_locked(LOCK)
    run = _work(own, held=held) if held or own.attempts or not histories else None
    states = {part: _work(history, held=is_locked(lock_of(part))).state for part, history in histories.items()}
    for of in {part.of for part in histories}:
        unsaid = {part for part, state in states.items() if part.of == of and state == "done"}
        states |= {part: "stopped" for part in unsaid if part.number not in done_parts(bucket, key, of)}
    return _told(str(dataset), run, own, histories, states)


def _unfinished(target: Path) -> Unfinished:
    """What is noted of a dataset that is being made. Raises OSError."""
    of_parts = {part: path for part, role, path in part_files(target) if role == "record"}
    histories = {part: history for part, path in of_parts.items() if (history := _history(path))}
    run, own = None, _history(record_path(target))
    if own and (own.attempts or is_held(target)):
        run = _work(own, held=is_held(target))
    states = {part: _work(history, held=is_held(part_target(target, part))).state for part, history in histories.items()}
    return _told(str(dataset_of(target)), run, own or History(), histories, states)


def _told(dataset: str, run: Work | None, own: History, histories: dict[Part, History], states: dict[Part, str]) -> Unfinished:
    """What the records of a dataset tell: its own, and those of parts, of which it is known whether somebody is at work."""
    latest = max((part.of for part in histories), default=0, key=lambda of: sum(part.of == of for part in histories))
    shares = {number for history in histories.values() for attempt in history.attempts for number in attempt.plan.get("parts", [])}
    of_latest = {part.number: state for part, state in states.items() if part.of == latest}
    done, working, stopped = (sorted(n for n, found in of_latest.items() if found == state) for state in ("done", "working", "stopped"))
    missing = sorted(number for number in shares - of_latest.keys() if isinstance(number, int) and number <= latest)
    every = [own, *histories.values()]
    stored = sum(of.bytes for history in every for of in (history, *history.fields.values()))
    return Unfinished(dataset, run, latest, done, working, stopped, missing, stored, _fields(every))


def _fields(histories: Sequence[History]) -> Fields | None:
    """Of a plate which fields are made, by all records of it; None of an image."""
    paths = next((history.paths for history in histories if history.paths), [])
    made = {path for history in histories for path, of_field in history.fields.items() if of_field.made is not None}
    missing = [path for path in paths if path not in made]
    return Fields(len(paths) - len(missing), missing) if paths else None


def _work(history: History, *, held: bool) -> Work:
    """What a record tells; `held`: whether somebody has the lock."""
    last = history.attempts[-1] if history.attempts else None
    state = "working" if held else "done" if last and last.how == "finished" else "stopped"
    chunks = last.plan.get("chunks") if last else None
    noted = sum((unit.rows[1] - unit.rows[0]) * (unit.columns[1] - unit.columns[0]) for unit in history.units)
    percent = min(100, 100 * noted // chunks) if isinstance(chunks, int) and chunks else None
    return Work(state, history.bytes + sum(of_field.bytes for of_field in history.fields.values()), percent)


def _history(path: Path) -> History | None:
    try:
        data = read_file(path)
    except FileNotFoundError:
        return None
    key = recorded_key(data)
    return None if key is None else read(data, key)
