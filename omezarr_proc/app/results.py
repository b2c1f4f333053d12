"""What became of each image of a run, while it becomes that: kept for the summary, the report and the metrics."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from omezarr_proc.model.errors import ProcError
from omezarr_proc.model.events import Begun, Phase, Summary

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


class Results:
    """The results so far, and the image that is at work. `clock` counts seconds."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self.done: list[Result] = []
        self.peak: int | None = None
        self._clock, self._since = clock, clock()
        self._begun: Begun | None = None
        self._phase: Phase = "open"
        self._phases: dict[Phase, float] = {}
        self._retries = 0

    def begin(self, begun: Begun) -> None:
        """The image of which is told from now on."""
        self._begun = begun

    @property
    def source(self) -> str | None:
        """The input of the image at work."""
        return self._begun.source if self._begun else None

    def phase(self, phase: Phase) -> None:
        """Its time goes to this phase from now on."""
        self._stop()
        self._phase = phase

    def retry(self) -> None:
        """Count what was lost."""
        self._retries += 1

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
            target=target or (self._begun.target if self._begun else None),
            outcome=outcome,
            begun=self._begun,
            summary=summary,
            reason=str(error) if error else reason,
            code=error.code if error else code,
            phases=self._phases,
            retries=self._retries,
            peak=self.peak,
        )
        self.done.append(result)
        self._clear()
        return result

    def stop(self, reason: str, code: str) -> None:
        """The run ends here: an image that is at work is left as it is."""
        if begun := self._begun:
            self.end("stopped", begun.source, begun.target, reason=reason, code=code)

    def _stop(self) -> None:
        now = self._clock()
        self._phases[self._phase] = self._phases.get(self._phase, 0.0) + now - self._since
        self._since = now

    def _clear(self) -> None:
        self._begun, self._phase, self._phases, self._retries, self.peak = None, "open", {}, 0, None


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
