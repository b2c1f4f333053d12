"""What became of each image of a run, while it becomes that: kept for the summary, the report and the metrics."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from omezarr_proc.model.errors import ProcError
from omezarr_proc.model.events import Begun, Phase, Summary
from omezarr_proc.model.text import byte_size, duration

Clock = Callable[[], float]


@dataclass(frozen=True, kw_only=True)
class Result:
    """One image, or one input whose images are not known since it could not be opened. All sizes are bytes.

    begun    None where it did not come to that
    summary  of a converted one
    reason   why it was skipped, what part of it was done, or what went wrong
    code     of what went wrong
    phases   seconds of each phase that was begun
    retries  how often the work went on with a smaller plan after a worker was lost
    peak     memory of all processes together, of an image that has been begun; None where it cannot be measured
    """

    source: str
    target: str | None = None
    outcome: Literal["converted", "skipped", "part", "failed", "stopped"]
    begun: Begun | None = None
    summary: Summary | None = None
    reason: str = ""
    code: str | None = None
    phases: dict[Phase, float] = field(default_factory=dict)
    retries: int = 0
    peak: int | None = None

    def row(self) -> dict[str, Any]:
        """As the report has it (docs/report.schema.json)."""
        begun, done = self.begun, self.summary
        return {
            "source": self.source,
            "series": begun.series if begun else None,
            "dataset": self.target,
            "outcome": self.outcome,
            "code": self.code,
            "message": self.reason or None,
            "shape": list(begun.shape) if begun else None,
            "levels": begun.levels if begun else None,
            "objects": begun.objects if begun else None,
            "bytes": done.stored_bytes if done else None,
            "seconds": round(sum(self.phases.values()), 3),
            "phases": {phase: round(seconds, 3) for phase, seconds in self.phases.items()},
            "peakMemory": self.peak,
            "retries": self.retries,
        }


@dataclass(eq=False)
class Work:
    """What is known so far of an image that is at work; the rest is as in `Result`."""

    begun: Begun | None = None
    phase: Phase = "open"
    phases: dict[Phase, float] = field(default_factory=dict)
    retries: int = 0
    peak: int | None = None


class Results:
    """The results so far, the image that is at work, and those that are aside. `clock` counts seconds."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self.done: list[Result] = []
        self._clock, self._since = clock, clock()
        self._began = self._since
        self._work = Work()
        self._aside: list[Work] = []

    def begin(self, begun: Begun) -> None:
        """What is told from now on is of this image."""
        self._work.begun = begun

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return self._clock() - self._began

    @property
    def source(self) -> str | None:
        """The input of the image at work."""
        return self._work.begun.source if self._work.begun else None

    def phase(self, phase: Phase) -> None:
        """Its time goes to this phase from now on."""
        self._stop()
        self._work.phase = phase

    def spent(self, phase: Phase, seconds: float) -> None:
        """Somebody else has spent this time on the image."""
        self._work.phases[phase] = self._work.phases.get(phase, 0.0) + seconds

    def retry(self) -> None:
        """Count a plan that died with a worker."""
        self._work.retries += 1

    def peak(self, memory: int | None) -> None:
        """Keep what the image takes."""
        self._work.peak = memory

    def aside(self) -> Work:
        """Others come to work before the image at work ends; its time stands still meanwhile."""
        self._stop()
        work, self._work = self._work, Work()
        self._aside.append(work)
        return work

    def again(self, work: Work) -> None:
        """It is at work again."""
        self._stop()
        self._aside.remove(work)
        self._work = work

    def end(
        self,
        outcome: Literal["converted", "skipped", "part", "failed", "stopped"],
        source: str,
        target: str | None = None,
        *,
        summary: Summary | None = None,
        reason: str = "",
        error: ProcError | None = None,
        code: str | None = None,
    ) -> Result:
        """The image has come to its end."""
        self._stop()
        result = Result(
            source=source,
            target=target or (self._work.begun.target if self._work.begun else None),
            outcome=outcome,
            begun=self._work.begun,
            summary=summary,
            reason=str(error) if error else reason,
            code=error.code if error else code,
            phases=self._work.phases,
            retries=self._work.retries,
            peak=self._work.peak,
        )
        self.done.append(result)
        self._work = Work()
        return result

    def stop(self, reason: str, code: str) -> None:
        """The run ends here: images that are at work or aside are left as they are."""
        self._stop()
        for work in (*self._aside, self._work):
            self._work = work
            if begun := work.begun:
                self.end("stopped", begun.source, begun.target, reason=reason, code=code)
        self._aside.clear()

    def _stop(self) -> None:
        now, phases = self._clock(), self._work.phases
        phases[self._work.phase] = phases.get(self._work.phase, 0.0) + now - self._since
        self._since = now


def totals(results: Sequence[Result]) -> dict[str, Any]:
    """The sums over all images, as the report and the last line of the log have them."""
    outcomes = Counter(result.outcome for result in results)
    converted = [result for result in results if result.summary]
    return {
        "images": len(results),
        **{outcome: outcomes[outcome] for outcome in ("converted", "skipped", "part", "failed", "stopped")},
        "codes": dict(sorted(Counter(result.code for result in results if result.code).items())),
        "objects": sum(result.begun.objects for result in converted if result.begun),
        "bytes": sum(result.summary.stored_bytes for result in converted if result.summary),
        "pixels": sum(result.summary.pixels for result in converted if result.summary),
        "retries": sum(result.retries for result in results),
        "peakMemory": max((result.peak for result in results if result.peak), default=None),
    }


def totals_line(sums: Mapping[str, Any], seconds: float) -> str:
    """The `totals` of a run of so many seconds, as people read them."""
    in_part = f"{sums['part']} in part, " if sums["part"] else ""
    return (
        f"{sums['converted']} converted, {sums['skipped']} skipped, {in_part}{sums['failed']} failed in {duration(seconds)}:"
        f" {byte_size(sums['bytes'])} in {sums['objects']} objects"
    )
