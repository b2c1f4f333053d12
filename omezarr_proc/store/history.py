"""What a record tells: the finished units and the attempts of a conversion, as lines of text.

First MAGIC, then one line for each fact: the CRC-32 of the rest in hexadecimal, and a JSON list:

    ["dataset", format, key]                                   what is being made; the same for as long as the record is worth anything
    ["begin", plan]   ["end", how]                             an attempt, noted before it starts, and its orderly end
    ["unit", frame, level, y0, y1, x0, x1, extremes, bytes]    finished chunks (see `Unit`)

The first line that is torn or wrong ends the record.
"""

import json
import zlib
from dataclasses import dataclass, field
from typing import Any

from omezarr_proc.store.hidden import MAGIC

FORMAT = 1
Extremes = tuple[float, float]


@dataclass(frozen=True)
class Unit:
    """Chunks that are stored: rows `rows[0]..rows[1]-1` and columns alike (counted in chunks) of one frame and level.

    extremes  for each of the frame's channels the finite extremes of these pixels, None where there is none; empty but on level 0
    bytes     their size on disk
    """

    frame: int
    level: int
    rows: tuple[int, int]
    columns: tuple[int, int]
    extremes: tuple[Extremes | None, ...] = ()
    bytes: int = 0


@dataclass(frozen=True)
class Attempt:
    """One attempt: the plan it noted, how many units it finished, and how it ended; None: it was killed."""

    plan: dict[str, Any]
    units: int = 0
    how: str | None = None


@dataclass
class History:
    """What a record tells of earlier attempts; `end` is where its good part ends, in bytes."""

    units: list[Unit] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    end: int = len(MAGIC)


def line(fact: list[Any]) -> bytes:
    """A line of the record."""
    text = json.dumps(fact, separators=(",", ":"), allow_nan=False).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def header(key: str) -> bytes:
    """The line that begins a record of the dataset with this key."""
    return line(["dataset", FORMAT, key])


def unit_line(unit: Unit) -> bytes:
    """The line of a finished unit; floats come back as they were."""
    return line(["unit", unit.frame, unit.level, *unit.rows, *unit.columns, unit.extremes, unit.bytes])


def read(data: bytes, key: str) -> History | None:
    """What a record holds; None when it is of another dataset or format."""
    if recorded_key(data) != key:
        return None
    history = History()
    for text in data[len(MAGIC) :].splitlines(keepends=True):
        fact = _fact(text)
        if not fact:
            break
        _take(history, fact)
        history.end += len(text)
    return history


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
    fact: list[Any] = json.loads(text[9:])
    return fact


def _take(history: History, fact: list[Any]) -> None:
    attempts = history.attempts
    match fact:
        case ["unit", frame, level, y0, y1, x0, x1, extremes, size]:
            found = tuple(None if pair is None else (pair[0], pair[1]) for pair in extremes)
            history.units.append(Unit(frame, level, (y0, y1), (x0, x1), found, size))
            if attempts:
                attempts[-1] = Attempt(attempts[-1].plan, attempts[-1].units + 1, attempts[-1].how)
        case ["begin", plan]:
            attempts.append(Attempt(plan))
        case ["end", how] if attempts:
            attempts[-1] = Attempt(attempts[-1].plan, attempts[-1].units, how)
