"""The messages between the main process and its workers, as plain values."""

from dataclasses import dataclass

from omezarr_proc.model.errors import ProcError
from omezarr_proc.model.image import Image, Rect
from omezarr_proc.model.pyramid import Band, Pass
from omezarr_proc.pixels.histogram import Counts, Extremes, Place
from omezarr_proc.publish.history import Unit
from omezarr_proc.store.chunks import ChunkStore


@dataclass(frozen=True)
class Job:
    """What all tasks of one image have in common.

    nearest  take the first pixel of each box instead of the mean (label images)
    access   for each layout of the image how its pixels are read: "rows", "segment", "stream" or "spool" (see `reader`)
    lenient  take damaged segments as their decoder makes them, and tell of each
    """

    image: Image
    store: ChunkStore
    nearest: bool
    access: tuple[str, ...]
    lenient: bool = False


@dataclass(frozen=True)
class Load:
    """Fill the part `rect` (in pixels of the pass's first level) of a band's slot, which begins at byte `slot`, from the pass's source."""

    stage: Pass
    slot: int
    band: Band
    rect: Rect


@dataclass(frozen=True)
class Write:
    """Encode and store the tiles `tiles` (tile rows and columns within the band) of level `stage.first + step`; fold them into the next."""

    stage: Pass
    slot: int
    band: Band
    step: int
    tiles: Rect

    @property
    def bands(self) -> tuple[Band, ...]:
        """The band, as a `Whole` has them."""
        return (self.band,)


@dataclass(frozen=True)
class Whole:
    """Bands small enough for one worker, one after another in the same slot: load each, then store all its levels."""

    stage: Pass
    slot: int
    bands: tuple[Band, ...]


@dataclass(frozen=True)
class Spool:
    """Decode the planes of a frame into the spool file, whence its bands are loaded."""

    frame: int


@dataclass(frozen=True)
class Count:
    """Add up a histogram over the finished chunks of one channel on one level (see `windows`).

    channel  within each of `frames`
    places   None: the first histogram; else the second one, within these bins
    """

    level: int
    frames: tuple[int, ...]
    channel: int
    places: tuple[Place, ...] | None = None


@dataclass(frozen=True)
class Check:
    """Count the chunk files of units of an earlier run that are not as they were recorded; by size alone where not to be `read`."""

    units: tuple[Unit, ...]
    read: bool = True


Task = Load | Write | Whole | Spool | Count | Check


@dataclass(frozen=True)
class Filled:
    """A `Load` or a `Spool` is done."""


def doing(task: Task) -> str:
    """What a worker does for a task, in the user's words."""
    match task:
        case Load(stage, _, _, rect):
            source = "the TIFF" if stage.source is None else f"level {stage.source}"
            return f"reading {source} for rows {rect.y0} to {rect.y1 - 1} of level {stage.first}"
        case Write(stage, _, band, step):
            rect = band.at(step)
            return f"storing rows {rect.y0} to {rect.y1 - 1} of level {stage.first + step}"
        case Whole(stage, _, bands):
            return f"reading and storing rows {bands[0].rect.y0} to {bands[-1].rect.y1 - 1} of level {stage.first}"
        case Spool(frame):
            return f"decoding plane {frame} of the TIFF"
        case Count(level):
            return f"counting the pixels of level {level} for the display windows"
        case Check():
            return "checking what an earlier run has finished"


@dataclass(frozen=True)
class Written:
    """What a `Write` has made. Its slot is free for other use; its files may still be queued (see `Stored`).

    step, tiles  as in the task
    checksums    of each chunk by row, column and channel (see `checksums`)
    extremes     the finite extremes of each of the frame's channels on level 0; empty for other levels
    """

    step: int
    tiles: Rect
    checksums: bytes
    extremes: tuple[Extremes | None, ...] = ()


@dataclass(frozen=True)
class WholeWritten:
    """What a `Whole` has made of each of its bands, level by level."""

    bands: tuple[tuple[Written, ...], ...]


@dataclass(frozen=True)
class Stored:
    """All files of a `Write` or `Whole` are written; comes at some time after the first answer."""

    task: "Write | Whole"


@dataclass(frozen=True)
class Counted:
    """The histogram that a `Count` asked for."""

    counts: Counts


@dataclass(frozen=True)
class Checked:
    """How many chunk files of each unit of a `Check` are not as they were recorded."""

    changed: tuple[int, ...]


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


Reply = Filled | Written | WholeWritten | Counted | Checked | Failed | Stored | Noted
