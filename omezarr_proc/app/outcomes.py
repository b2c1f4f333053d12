"""What becomes of each image: told to the report, and kept as an outcome, in the order of the inputs."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from loguru import logger

from omezarr_proc.app.inputs import Input
from omezarr_proc.app.report import Report
from omezarr_proc.model.address import Place, absolute
from omezarr_proc.model.errors import ProcError
from omezarr_proc.model.outcome import Outcome

if TYPE_CHECKING:
    from omezarr_proc.build.image import Conversion
    from omezarr_proc.build.plate import PlateConversion
    from omezarr_proc.model.events import Summary


@dataclass(frozen=True)
class Outcomes:
    """The images of a run."""

    report: Report
    all: list[Outcome] = field(default_factory=list)

    def begun(self, conversion: "Conversion | PlateConversion", target: Place) -> None:
        """Tell that an image is going to be made."""
        self.report.begin(conversion.begun(target))
        for note in conversion.notes:
            logger.info(f"{conversion.source}: {note}")
        for line in conversion.advice():
            self.report.advise(conversion.source, line)

    def converted(self, entry: Input, target: Place, summary: "Summary") -> None:
        """An image was made and published."""
        self.report.finish(summary)
        outcome = Outcome(
            source=str(entry.path),
            status="converted",
            target=target,
            shape=summary.shape,
            levels=summary.levels,
            chunks=summary.chunks,
            stored_bytes=summary.stored_bytes,
            seconds=summary.seconds,
        )
        self.all.append(outcome)

    def skipped(self, entry: Input, conversion: "Conversion | PlateConversion", target: Place, reason: str) -> None:
        """What is there already is left alone."""
        self.report.skip(conversion.source, f"{target} {reason}", str(target))
        self.all.append(Outcome(source=str(entry.path), status="skipped", target=target, reason=reason))

    def in_part(self, entry: Input, target: Place, done: str) -> None:
        """This part has made what is its own; `done` says so, and who publishes."""
        self.report.share(absolute(str(entry.path)), done, str(target))
        self.all.append(Outcome(source=str(entry.path), status="part", target=target, reason=done))

    def failed(self, entry: Input, target: Place | None, error: ProcError) -> None:
        """An input could not be opened, where there is no target, or an image not be made."""
        self.report.fail(absolute(str(entry.path)), error, None if target is None else str(target))
        self.all.append(Outcome(source=str(entry.path), status="failed", target=target, error=error))
