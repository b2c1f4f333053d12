"""A small image that one worker makes by itself, from its first band to its root: all but its name, and without its main process."""

import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loguru import logger

from omezarr_proc.build.image import Conversion
from omezarr_proc.build.means import Means
from omezarr_proc.config.settings import Settings
from omezarr_proc.engine.local.noted import NotedLog
from omezarr_proc.host.background import Beside
from omezarr_proc.host.limits import Limits
from omezarr_proc.model.address import Place
from omezarr_proc.model.errors import LimitError, ProcError
from omezarr_proc.model.events import Phase, Summary
from omezarr_proc.model.image import Image
from omezarr_proc.publish.history import Unit
from omezarr_proc.publish.tree import Noting
from omezarr_proc.store.objects import Objects
from omezarr_proc.work.filing import Files
from omezarr_proc.work.tasks import Solo

if TYPE_CHECKING:
    from loguru import Message

# Of this worker, for all its images: it remembers whether storage is quick.
_BESIDE = Beside()


@dataclass(frozen=True)
class Line:
    """What would have been logged."""

    level: str
    text: str
    facts: dict[str, Any]

    def log(self) -> None:
        """Log it after all."""
        logger.bind(**self.facts).log(self.level, self.text)


@dataclass(frozen=True, kw_only=True)
class SoloMade:
    """What came of it: a summary or an error; lines for the log, and seconds of each phase."""

    summary: Summary | None = None
    error: Exception | None = None
    lines: Sequence[Line] = ()
    phases: Mapping[Phase, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, kw_only=True)
class SoloImage(Solo):
    """An image to be made.

    key      of its dataset
    target   the dataset's path
    place    the folder that it is staged in, and `objects` where its objects are put (see `Noting`)
    limits   of the worker
    """

    image: Image
    key: str
    target: Place | str
    place: Path
    objects: Objects
    settings: Settings
    limits: Limits
    deadline: float | None

    @classmethod
    def of(cls, conversion: Conversion, target: Place | str, tree: Noting, limits: Limits) -> "SoloImage":
        """The task that makes what the conversion would; it travels without the other images of its set."""
        image, means = conversion.image, conversion.means
        alone = replace(image.alone(), ome_xml=image.ome_xml and image.own_ome_xml.decode())
        return cls(
            image=alone,
            key=conversion.key,
            target=target,
            place=tree.place,
            objects=tree.objects,
            settings=means.settings,
            limits=limits,
            deadline=means.deadline,
        )

    @property
    def doing(self) -> str:
        """See `Solo`."""
        return f"making {self.target} of {self.image.source}"

    def run(self, files: Files) -> SoloMade:
        """See `Solo`."""
        from omezarr_proc.engine.serial import Serial  # which the main process can do without

        spent = _Spent()
        engine = Serial(self.deadline, files, NotedLog(self.image.source).add)
        means = Means(settings=self.settings, limits=self.limits, engine=engine, report=spent, deadline=self.deadline, beside=_BESIDE)
        conversion = Conversion(image=self.image, means=means)
        conversion.key = self.key
        summary: Summary | None = None
        error: Exception | None = None
        lines = _logged(self.settings.log_level)
        lines.clear()
        try:
            summary = conversion.stage(self.target, _Unnoted(self.place, self.objects))
        except (ProcError, OSError) as raised:
            error = raised
        except MemoryError:
            error = LimitError("a worker ran out of memory: give it more, or set MAX_WORKERS lower", source=self.image.source)
        except Exception as raised:  # a library's surprise: not all of these can travel
            text = f"unexpected {type(raised).__name__}: {raised}".replace("\n", " ")
            error = ProcError(f"{text} (LOG_LEVEL=DEBUG shows where)", source=self.image.source)
            logger.debug("".join(traceback.format_exception(raised)))
        finally:
            engine.close()
        spent.phase("publish")
        return SoloMade(summary=summary, error=error, lines=tuple(lines), phases=spent.seconds)


class _Unnoted:
    """A dataset in the making of which the main process keeps the record (see `Noting`)."""

    units: tuple[Unit, ...] = ()
    unfinished = stalled = 0

    def __init__(self, place: Path, objects: Objects) -> None:
        self.place, self.objects = place, objects

    def begin(self, plan: dict[str, Any]) -> None:
        pass

    def add(self, units: Iterable[Unit]) -> None:
        pass

    def flush(self) -> None:
        pass

    def end(self, how: str, timeout: float | None = None) -> bool:
        return True

    def close(self) -> None:
        pass


@dataclass
class _Spent:
    """Counts the seconds of each phase; how far the image is nobody asks."""

    seconds: dict[Phase, float] = field(default_factory=dict)
    _phase: Phase = "levels"
    _since: float = field(default_factory=time.monotonic)

    def start(self, name: str, total: int, unit: str = "px", done: int = 0) -> None:
        pass

    def advance(self, amount: int) -> None:
        pass

    def phase(self, phase: Phase) -> None:
        now = time.monotonic()
        self.seconds[self._phase] = self.seconds.get(self._phase, 0.0) + now - self._since
        self._phase, self._since = phase, now

    def retry(self, reason: str) -> None:
        logger.warning(reason)

    def peak(self, memory: int | None) -> None:
        pass


@cache
def _logged(level: str) -> list[Line]:
    """What is logged from now on, since a worker has no log. Once in each: to add a sink takes longer than to make an image."""
    lines: list[Line] = []

    def keep(message: "Message") -> None:
        record = message.record
        lines.append(Line(record["level"].name, record["message"], dict(record["extra"])))

    logger.enable("omezarr_proc")
    logger.remove()
    logger.add(keep, level=level, format="{message}")
    return lines
