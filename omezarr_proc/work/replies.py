"""What comes back of tasks, as plain values that travel between processes and machines."""

from dataclasses import dataclass

from omezarr_proc.check.levels import Difference
from omezarr_proc.model.errors import ProcError
from omezarr_proc.model.region import Region
from omezarr_proc.pixels.digests import Digest
from omezarr_proc.pixels.histogram import Extremes, Packed
from omezarr_proc.work.tasks import Storing


@dataclass(frozen=True)
class Filled:
    """A `Load` or a `Spool` is done; a `Load` may be answered by `Hashed` instead."""


@dataclass(frozen=True)
class Written:
    """What a `Write` has made. Without shards its slot is free for other use; its files may still be queued (see `Stored`).

    step, chunks  as in the task
    checksums     of each chunk in the order of `chunks.indices()` (see `checksums`); empty where they are for shards
    extremes      the finite extremes of each of the band's channels on level 0; empty for other levels
    counts        the histogram of each of the band's channels on the level that the job says; empty for other levels
    digests       of the level's blocks, where chunks hold whole ones (`Job.hashed`)
    """

    step: int
    chunks: Region
    checksums: bytes
    extremes: tuple[Extremes | None, ...] = ()
    counts: tuple[Packed, ...] = ()
    digests: tuple[Digest, ...] = ()


@dataclass(frozen=True)
class Sealed:
    """What a `Seal` has made; its files may still be queued (see `Stored`).

    step, objects  as in the task
    checksums      of each object in the order of `objects.indices()`
    """

    step: int
    objects: Region
    checksums: bytes


@dataclass(frozen=True)
class Hashed:
    """The digests of blocks of the source: what a `Hash` asked for, or what a load has had whole (`Job.hashed`)."""

    digests: tuple[Digest, ...]


# What is told of a band, each of one of its levels.
OfBand = Written | Sealed | Hashed


@dataclass(frozen=True)
class Made:
    """What a `Make` has made of each of its bands, level by level."""

    bands: tuple[tuple[OfBand, ...], ...]


@dataclass(frozen=True)
class Stored:
    """All files of a task are written; comes at some time after the first answer."""

    task: Storing


@dataclass(frozen=True)
class Counted:
    """The histogram that a `Count` asked for."""

    counts: Packed


@dataclass(frozen=True)
class Checked:
    """How many chunk files of each unit of a `Check` are not as they were recorded."""

    changed: tuple[int, ...]


@dataclass(frozen=True)
class Compared:
    """What of a `Compare` differs on each level of its pass, None where nothing does, and the finite extremes of the source's channels."""

    differences: tuple[Difference | None, ...]
    extremes: dict[int, Extremes | None]


@dataclass(frozen=True)
class Done:
    """What came of a `Solo`."""

    result: object


@dataclass(frozen=True)
class Failed:
    """A task that could not be done, or one whose files could not be written.

    error  what the main process raises
    trace  the traceback, for the debug log
    """

    error: ProcError
    trace: str


@dataclass(frozen=True)
class Noted:
    """What the user should know of the source; answers no task."""

    text: str


Reply = Filled | OfBand | Made | Counted | Checked | Compared | Done | Failed | Stored | Noted
