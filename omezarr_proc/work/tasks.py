"""What an engine has done for it, as plain values that travel between processes and machines; `replies` is what comes back."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from omezarr_proc.model.image import Image
from omezarr_proc.model.region import Region, Y
from omezarr_proc.pixels.histogram import Place
from omezarr_proc.plan.passes import Pass
from omezarr_proc.publish.history import Unit
from omezarr_proc.store.chunks import ChunkStore
from omezarr_proc.store.read import Dataset
from omezarr_proc.work.filing import Files


@dataclass(frozen=True)
class Job:
    """What all tasks of one image have in common.

    method   the reduction that makes levels (see `pixels.reduction`)
    access   for each layout of the image how its pixels are read: "rows", "segment", "stream" or "spool" (see `reader`)
    lenient  take damaged segments as their decoder makes them, and tell of each
    hashed   take the digests of blocks (see `pixels.digests`): of the source while bands are loaded, of levels before they are encoded
    against  the dataset that pixels are compared with, where they are not stored
    counted  the level of which a histogram is taken of each channel while it is written; None: of none (see `build.windows`)
    """

    image: Image
    store: ChunkStore
    method: str
    access: tuple[str, ...]
    lenient: bool = False
    hashed: bool = False
    against: Dataset | None = None
    counted: int | None = None


@dataclass(frozen=True)
class Load:
    """Fill `part` (in pixels of the pass's first level) of a band's slot, which begins at byte `slot`, from the pass's source."""

    pass_: Pass
    slot: int
    band: Region
    part: Region


@dataclass(frozen=True)
class Write:
    """Fold the chunks `chunks` of level `pass_.first + step` into the next level of the slot; encode them and store them.

    Chunks of shards are not stored, but stay in the slot, in the place of their pixels, for a `Seal`.

    chunks  in chunks of that level; all channels of the band. Along z it owns whole boxes of the next level: it begins on a multiple of
            `Pyramid.deep` chunks of the level, and ends on one or with the level
    """

    pass_: Pass
    slot: int
    band: Region
    step: int
    chunks: Region

    @property
    def bands(self) -> tuple[Region, ...]:
        """The band, as a `Make` has them."""
        return (self.band,)


@dataclass(frozen=True)
class Seal:
    """Store the shards `objects` (in objects) of level `pass_.first + step`, whose chunks all lie encoded in the slot.

    A shard has one writer, and only one: the band that it lies in makes all of its chunks, its `Seal` is handed out once, after every
    `Write` of them is answered, and no other band touches it. Until its file is written the slot is not used again.
    """

    pass_: Pass
    slot: int
    band: Region
    step: int
    objects: Region

    @property
    def bands(self) -> tuple[Region, ...]:
        """The band, as a `Make` has them."""
        return (self.band,)


@dataclass(frozen=True)
class Make:
    """Bands small enough for one worker, one after another in the same slot: load each, then store all its levels."""

    pass_: Pass
    slot: int
    bands: tuple[Region, ...]


@dataclass(frozen=True)
class Promise:
    """The loads that a worker will be given next, their slots not known yet: so that it can fetch what they read. It is not answered."""

    loads: tuple[Load | Make, ...]


@dataclass(frozen=True)
class Spool:
    """Decode the planes of a band's time point, channels and depth into the spool file, whence the bands of that ground are loaded.

    before  depths of the ground that lie in front of it, where it is a part of one
    """

    band: Region
    before: int = 0


@dataclass(frozen=True)
class Count:
    """Add up a histogram over finished planes of one channel of a level (see `histogram`).

    planes   (t, z) of each
    places   None: the first histogram; else the second one, within these bins
    """

    level: int
    channel: int
    planes: tuple[tuple[int, int], ...]
    places: tuple[Place, ...] | None = None


@dataclass(frozen=True)
class Check:
    """Count the chunk files of units of an earlier run that are not as they were recorded; by size alone where not to be `read`."""

    units: tuple[Unit, ...]
    read: bool = True


@dataclass(frozen=True)
class Compare:
    """Make bands of a pass over the TIFF, and hold them against the levels of the dataset that the job names (`Job.against`).

    The pass is of the base level, or of that and the next one.
    """

    pass_: Pass
    bands: tuple[Region, ...]


@dataclass(frozen=True)
class Hash:
    """Make bands of a pass over the TIFF at full resolution, and take the digests of their blocks (see `pixels.digests`)."""

    pass_: Pass
    bands: tuple[Region, ...]


class Solo(ABC):
    """What one worker does by itself from beginning to end, as a whole small image: it is told of no job, and given no slot."""

    @property
    @abstractmethod
    def doing(self) -> str:
        """What is done, in the user's words."""

    @abstractmethod
    def run(self, files: Files) -> object:
        """Do it and return what came of it, errors too; `files` takes what is to be stored, all of which is when this returns."""


# What depends on no other task of its image, once the pass before is over.
Loose = Spool | Count | Check | Compare | Hash
# What stores something: an answer to it is followed by `Stored`.
Storing = Write | Seal | Make
OfJob = Load | Storing | Loose
Task = OfJob | Solo


def doing(task: Task) -> str:
    """What a worker does for a task, in the user's words."""
    match task:
        case Load(pass_, _, _, part):
            source = "the TIFF" if pass_.source is None else f"level {pass_.source}"
            return f"reading {source} for {_rows(part)} of level {pass_.first}"
        case Write(pass_, _, band, step):
            return f"storing level {pass_.first + step} of the band with {_rows(band)} of level {pass_.first}"
        case Seal(pass_, _, band, step):
            return f"storing shards of level {pass_.first + step} of the band with {_rows(band)} of level {pass_.first}"
        case Make(pass_, _, bands):
            return f"reading and storing {_rows(bands[0], bands[-1])} of level {pass_.first}"
        case Spool(band):
            return f"decoding the planes of the TIFF from t={band.start[0]} c={band.start[1]} z={band.start[2]} on"
        case Count(level):
            return f"counting the pixels of level {level} for the display windows"
        case Check():
            return "checking what an earlier run has finished"
        case Compare(pass_, bands):
            return f"comparing {_rows(bands[0], bands[-1])} of level {pass_.first} with the TIFF"
        case Hash(_, bands):
            return f"hashing {_rows(bands[0], bands[-1])} of the TIFF"
        case Solo():
            return task.doing


def _rows(first: Region, last: Region | None = None) -> str:
    return f"rows {first.start[Y]} to {(last or first).stop[Y] - 1}"
