"""What a record tells: the finished units and the attempts of a conversion, as lines of text.

First MAGIC, then one line for each fact: the CRC-32 of the rest in hexadecimal, and a JSON list:

    ["dataset", format, key]                                   what is being made; the same for as long as the record is worth anything
    ["begin", plan]   ["end", how]                             an attempt, noted before it starts, and its orderly end
    ["unit", frame, level, y0, y1, x0, x1, extremes, bytes, checksums]    finished chunks (see `Unit`); checksums in hexadecimal

Where several images are one dataset, as the fields of a plate are, they are made one after another, each within an attempt of its own:

    ["begin", {"fields": [path, ...]}]                         of all of them: the paths that they have in the dataset
    ["begin", {"field": path, ...}]                            of one; units and the end that follow are its own
    ["made", path, bytes]                                      it is whole, and needs no more work; ends its attempt
    ["forget", path]                                           nothing of what was noted of it holds any more

The first line that is torn or wrong, or says what these do not, ends the record. Units of older versions are without checksums.
"""

import json
import sys
import zlib
from dataclasses import dataclass, field, replace
from typing import Any

from omezarr_proc.publish.hidden import MAGIC

FORMAT = 1
Extremes = tuple[float, float]
Checksums = bytes


@dataclass(frozen=True)
class Unit:
    """Chunks that are stored: rows `rows[0]..rows[1]-1` and columns alike (counted in chunks) of one frame and level.

    extremes   for each of the frame's channels the finite extremes of these pixels, None where there is none; empty but on level 0
    bytes      their size on disk
    checksums  of each chunk by row, column and channel (see `checksums`); empty where an older version has made them
    """

    frame: int
    level: int
    rows: tuple[int, int]
    columns: tuple[int, int]
    extremes: tuple[Extremes | None, ...] = ()
    bytes: int = 0
    checksums: Checksums = b""


@dataclass(frozen=True)
class Attempt:
    """One attempt: the plan it noted, how many units it finished, and how it ended; None: it was killed."""

    plan: dict[str, Any]
    units: int = 0
    how: str | None = None


@dataclass
class History:
    """What a record tells of earlier attempts.

    end     where its good part ends, in bytes
    fields  the same of each of several images, by its path in the dataset
    made    of one of these: its bytes, where it is whole
    """

    units: list[Unit] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    end: int = len(MAGIC)
    fields: "dict[str, History]" = field(default_factory=dict)
    made: int | None = None

    @property
    def unfinished(self) -> int:
        """How many of the latest attempts in a row were killed: each should make the next plan a step smaller."""
        ended = [attempt.how is not None for attempt in reversed(self.attempts)]
        return ended.index(True) if True in ended else len(ended)

    @property
    def stalled(self) -> int:
        """How many of the latest attempts in a row were killed before they had finished anything."""
        moved = [attempt.how is not None or attempt.units > 0 for attempt in reversed(self.attempts)]
        return moved.index(True) if True in moved else len(moved)

    @property
    def bytes(self) -> int:
        """That are stored, as far as is noted."""
        return sum(unit.bytes for unit in self.units) if self.made is None else self.made

    @property
    def paths(self) -> list[str]:
        """Where the images of a dataset of several are, as the latest attempt has noted it; empty for one of a single image."""
        return next((list(map(str, paths)) for attempt in reversed(self.attempts) if (paths := attempt.plan.get("fields"))), [])

    def field(self, path: str) -> "History":
        """What is noted of one of several images."""
        return self.fields.setdefault(path, History())


def line(fact: list[Any]) -> bytes:
    """A line of the record."""
    text = json.dumps(fact, separators=(",", ":"), allow_nan=False).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def header(key: str) -> bytes:
    """The line that begins a record of the dataset with this key."""
    return line(["dataset", FORMAT, key])


def unit_line(unit: Unit) -> bytes:
    """The line of a finished unit; floats come back as they were."""
    return line(["unit", unit.frame, unit.level, *unit.rows, *unit.columns, unit.extremes, unit.bytes, unit.checksums.hex()])


def read(data: bytes, key: str) -> History | None:
    """What a record holds; None when it is of another dataset or format."""
    if recorded_key(data) != key:
        return None
    history, path = History(), ""
    for text in data[len(MAGIC) :].splitlines(keepends=True):
        match fact := _fact(text):
            case ["begin", {"field": str(path)}]:
                pass
            case ["begin", {"fields": int()}]:  # a plate of version 0.2.0, whose fields have records of their own
                return None
            case ["begin", dict()]:
                path = ""
        if fact is None or not _take(history, history.field(path) if path else history, fact):
            break
        if fact[0] in ("end", "made"):
            path = ""
        history.end += len(text)
    return history


def is_ended(data: bytes, how: str) -> bool:
    """Whether the last line of a record, of whose end `data` is, says that an attempt has ended so."""
    return _fact(data[data.rfind(b"\n", 0, -1) + 1 :]) == ["end", how]


def is_line(data: bytes) -> bool:
    """Whether these begin with a line of a record."""
    return _fact(data.partition(b"\n")[0] + b"\n") is not None


def recorded_key(data: bytes) -> str | None:
    """The key of the dataset that a record is about; None where it tells none, or is of another format."""
    match _fact(data[len(MAGIC) :].partition(b"\n")[0] + b"\n"):
        case ["dataset", int(version), str(key)] if version == FORMAT and data.startswith(MAGIC):
            return key
    return None


def _fact(text: bytes) -> list[Any] | None:
    """A line's content; None when it is torn or wrong."""
    if text[8:9] != b" " or not text.endswith(b"\n") or text[:8] != b"%08x" % zlib.crc32(text[9:-1]):
        return None
    try:
        fact = json.loads(text[9:])
    except (ValueError, RecursionError):
        return None
    return fact if isinstance(fact, list) else None


def _take(whole: History, history: History, fact: list[Any]) -> bool:
    """Add a fact to a history, or to that of the whole dataset; returns whether it is one."""
    attempts = history.attempts
    match fact:
        case ["dataset", *_]:
            return not history.units and not attempts
        case ["unit", *values]:
            unit = _unit(values)
            if unit is None:
                return False
            history.units.append(unit)
            if attempts:
                attempts[-1] = replace(attempts[-1], units=attempts[-1].units + 1)
        case ["begin", dict(plan)]:
            attempts.append(Attempt(plan))
        case ["end", str(how)]:
            _end(history, how)
        case ["made", str(path), int(size)]:
            _end(whole.field(path), "made")
            whole.field(path).made = size
        case ["forget", str(path)]:
            whole.fields[path] = History(attempts=whole.field(path).attempts)
        case _:
            return False
    return True


def _end(history: History, how: str) -> None:
    if history.attempts:
        history.attempts[-1] = replace(history.attempts[-1], how=how)


def _unit(values: list[Any]) -> Unit | None:
    """The unit that a line tells of; None where it tells of none. Whether it is of the dataset's pyramid is not known here."""
    if len(values) == 8:  # of an older version
        values = [*values, ""]
    match values:
        case [int(frame), int(level), int(y0), int(y1), int(x0), int(x1), list(pairs), int(size), str(checksums)] if size >= 0:
            try:
                return Unit(frame, level, (y0, y1), (x0, x1), tuple(map(_extremes, pairs)), size, bytes.fromhex(checksums))
            except ValueError:
                return None
    return None


def _extremes(pair: Any) -> Extremes | None:
    """The extremes of one channel. Raises ValueError."""
    most = sys.float_info.max
    match pair:
        case None:
            return None
        case [int() | float() as low, int() | float() as high] if -most <= low <= high <= most:
            return low, high
    raise ValueError(f"not the extremes of a channel: {pair!r}")
