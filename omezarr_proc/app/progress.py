"""Progress as events: `build` tells `Report`, which shows them as a bar on a terminal, as log lines elsewhere, or not at all.

Of many images each is told of only where all is wanted (`verbose`): else it is what goes wrong, how far the batch is, and the summary.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, TextIO

from loguru import logger

from omezarr_proc.app.results import Results, Work
from omezarr_proc.app.standard import Lossy, say
from omezarr_proc.app.summary import summary_lines
from omezarr_proc.model.errors import ProcError
from omezarr_proc.model.events import Advice, Begun, Phase, Summary
from omezarr_proc.model.text import counted, duration, one_line, quantity, shown

PERCENT_STEP = 5
MANY = 20  # above so many images not each is told of
MIN_SECONDS = 1.0  # between two lines: small images are done before they would need one
MAX_SECONDS = 30.0

Clock = Callable[[], float]


@dataclass(frozen=True)
class Aside:
    """An image that is to be told of again, and its input's turn. `made`: its pixels are stored."""

    work: Work
    number: int
    of: int
    made: bool


class Report:
    """Takes the events of a run and keeps what came out; by itself it shows only results, in the log. `verbose`: of each of many images.

    Images come one after another; one that waits for its end while others are made is put `aside`, and told of `again`.
    Per image: `start`, `advance` as often as something is done, then one of `finish`, `skip`, `share`, `fail`. The last three may come
    without `start`.
    """

    def __init__(self, *, verbose: bool = True) -> None:
        self.verbose = verbose
        self.summaries: list[Summary] = []
        self.skipped: list[tuple[str, str]] = []
        self.shared: list[tuple[str, str]] = []
        self.failures: list[ProcError] = []
        self.results = Results()
        self.advice: dict[str, list[str]] = {}
        self._number = self._of = 0
        self._turn = 0, 0
        self._made = 0
        self._said_many = False

    def at(self, number: int, of: int) -> None:
        """The inputs' turn has come to the one of that number, from 1 on."""
        self._turn = self._number, self._of = number, of
        if self.many and not self._said_many:
            self._said_many = True
            logger.bind(event="progress").info(f"{of} inputs: what goes wrong and how far it is will be told; --verbose tells of each")

    @property
    def many(self) -> bool:
        """Whether there are too many inputs, or images in them, to tell of each."""
        return not self.verbose and max(self._of, len(self.results.done)) > MANY

    @property
    def place(self) -> str:
        """`12 of 384, ` where there are several inputs."""
        return f"{self._number} of {self._of}, " if self._of > 1 else ""

    def start(self, name: str, total: int, unit: str = "px", done: int = 0) -> None:
        """Begin an image; `total`, and what an earlier run has `done` of it, are in the unit ("px" or "B") of `advance`."""

    def advance(self, amount: int) -> None:
        """Count what is done."""

    def end(self) -> None:
        """Leave the image, in whatever way it ended."""

    def begin(self, begun: Begun) -> None:
        """Name the image that is converted now."""
        self.results.begin(begun)
        size = " x ".join(map(str, begun.shape))
        facts = {"source": begun.source, "series": begun.series, "dataset": begun.target, "shape": begun.shape}
        facts |= {"number": self._number, "of": self._of}
        logger.bind(event="image-begun", **facts, levels=begun.levels, objects=begun.objects).info(
            f"{self.place}{shown(begun.source)}: {size} in {counted(begun.levels, 'level')}, {begun.objects} objects"
        )

    def advise(self, source: str, advice: Advice) -> None:
        """Say what should be known of an image before it is converted, and again in the summary."""
        alike = self.advice.setdefault(advice.summary, [])
        alike.append(shown(source))
        level = "DEBUG" if self.many and len(alike) > 1 else advice.level
        logger.bind(event=advice.event, source=source).log(level, f"{shown(source)}: {advice.text}")

    def phase(self, phase: Phase) -> None:
        """Count the time from now on for this phase."""
        self.results.phase(phase)

    def retry(self, reason: str) -> None:
        """Say what was lost."""
        self.results.retry()
        logger.bind(event="retry").warning(reason)

    def peak(self, memory: int | None) -> None:
        """Keep what the image took."""
        self.results.peak(memory)

    def _leave(self) -> None:
        """Leave the image; the inputs' turn is where it was."""
        self.end()
        self._number, self._of = self._turn

    def aside(self) -> Aside:
        """Leave the image for now; others come before it ends."""
        number, of, work = self._number, self._of, self.results.aside()
        self._leave()
        made = "levels" in work.phases
        self._made += made
        return Aside(work, number, of, made)

    def again(self, image: Aside) -> None:
        """Come back to it."""
        self.results.again(image.work)
        self._number, self._of = image.number, image.of
        self._made -= image.made

    def finish(self, summary: Summary) -> None:
        """End an image that has been converted."""
        self._leave()
        result = self.results.end("converted", self.results.source or summary.name, summary.name, summary=summary)
        summary = replace(summary, name=shown(summary.name))
        self.summaries.append(summary)
        numbers = {name: value for name, value in asdict(summary).items() if name != "name"}
        facts = {"source": result.source, "dataset": result.target, "phases": result.row()["phases"], "retries": result.retries}
        rate = f"{summary.megapixels_per_second:.1f} Mpx/s"
        logger.bind(event="image-done", image=shown(result.source), **facts, **numbers).info(
            f"{summary.name}: done in {duration(summary.seconds)}, {rate}"
        )

    def skip(self, name: str, reason: str, target: str | None = None) -> None:
        """End an image that is left as it is, since it is there already."""
        self._leave()
        self.results.end("skipped", name, target, reason=reason)
        image = shown(name)
        self.skipped.append((image, reason))
        logger.bind(event="image-skipped", image=image, source=name, dataset=target).info(f"{image}: {reason}")

    def share(self, name: str, done: str, target: str) -> None:
        """End an image of which this run's part is done; others go on with it."""
        self._leave()
        self.results.end("part", name, target, reason=done)
        image = shown(name)
        self.shared.append((image, done))
        logger.bind(event="image-part", image=image, source=name, dataset=target).info(f"{image}: {done}")

    def fail(self, name: str, error: ProcError, target: str | None = None) -> None:
        """End an image that failed."""
        self._leave()
        self.results.end("failed", name, target, error=error)
        self.failures.append(error)
        facts = {"image": shown(name), "source": name, "dataset": target, "code": error.code}
        logger.bind(event="image-failed", **facts).error(one_line(str(error)))

    def write(self, text: str) -> None:
        """Write whole lines to where the progress is shown, without tearing it."""
        say(text)

    def table(self) -> list[str]:
        """The summary: see `summary_lines`."""
        done, failures = self.results.done, self.failures
        return summary_lines(
            self.summaries, self.advice, self.skipped, self.shared, failures, done, self.results.seconds, each=not self.many
        )


class LineReport(Report):
    """A log line every PERCENT_STEP percent, but none within MIN_SECONDS of the last one and one after MAX_SECONDS at the latest.

    Of many images these are percent of all inputs.
    """

    def __init__(self, clock: Clock = time.monotonic, *, verbose: bool = True) -> None:
        super().__init__(verbose=verbose)
        self._clock = clock
        self._name, self._unit, self._total, self._done, self._before = "", "", 0, 0, 0
        self._begun = self._said_at = 0.0
        self._said_percent = 0
        self._run_begun = self._run_said_at = clock()
        self._run_percent = 0

    def start(self, name: str, total: int, unit: str = "px", done: int = 0) -> None:
        """Begin an image."""
        self._name, self._unit, self._total = shown(name), unit, total
        self._done = self._before = done
        self._begun = self._said_at = self._clock()
        self._said_percent = 100 * done // total if total else 0
        logger.debug(f"{self._name}: {quantity(total - done, unit)} to do")

    def advance(self, amount: int) -> None:
        """Count and show what is done."""
        self._done += amount
        now = self._clock()
        percent = 100 * self._done // self._total if self._total else 100
        waited = now - max(self._said_at, self._run_said_at if self.many else 0.0)
        if waited < (MAX_SECONDS if self.many else MIN_SECONDS) or (percent < self._said_percent + PERCENT_STEP and waited < MAX_SECONDS):
            return
        self._said_at, self._said_percent = now, percent
        rate = (self._done - self._before) / (now - self._begun)
        left = f", {duration(max(0, self._total - self._done) / rate)} left" if rate else ""
        text = f"{self.place}{self._name}: {percent} % of {quantity(self._total, self._unit)}, {quantity(rate, self._unit)}/s{left}"
        logger.bind(event="progress", image=self._name, percent=percent, rate=round(rate), unit=self._unit).info(text)

    def at(self, number: int, of: int) -> None:
        """Say from time to time how far many inputs are."""
        super().at(number, of)
        self._say_how_far()

    def again(self, image: Aside) -> None:
        """Come back to it; this says how far many are, too."""
        super().again(image)
        self._say_how_far()

    def _say_how_far(self) -> None:
        """What is left takes as long as what is made so far has taken: of images that wait for their names the work is done."""
        if not self.many:
            return
        number, of, now = self._number, self._of, self._clock()
        percent, waited = 100 * (number - 1) // of, now - self._run_said_at
        if waited < MIN_SECONDS or (percent < self._run_percent + PERCENT_STEP and waited < MAX_SECONDS):
            return
        done = len(self.results.done)
        made = done + self._made
        self._run_said_at, self._run_percent = now, percent
        failed = f", {len(self.failures)} failed" if self.failures else ""
        left = f", {duration((of - made) * (now - self._run_begun) / made)} left" if 0 < made <= of else ""
        logger.bind(event="progress").info(f"{number} of {of}: {counted(done, 'image')} done{failed}{left}")


class BarReport(Report):
    """A tqdm bar per image on a terminal; log lines that go through `write` appear above it."""

    def __init__(self, stream: TextIO | None = None, *, verbose: bool = True) -> None:
        import threading

        from tqdm import tqdm

        super().__init__(verbose=verbose)
        tqdm.monitor_interval = 0  # no monitor thread: workers are forked
        tqdm.set_lock(threading.RLock())  # the default one wants a semaphore
        self._tqdm = tqdm
        self._stream = Lossy(stream)
        self._bar: Any = None

    def start(self, name: str, total: int, unit: str = "px", done: int = 0) -> None:
        """Begin an image."""
        self.end()
        name = f"{self.place}{shown(name)}"
        self._bar = self._tqdm(
            total=total, initial=done, desc=name, unit=unit, unit_scale=True, file=self._stream, leave=False, dynamic_ncols=True
        )

    def advance(self, amount: int) -> None:
        """Count and show what is done."""
        self._bar.update(amount)

    def end(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def write(self, text: str) -> None:
        """Write above the bar."""
        self._tqdm.write(text, file=self._stream, end="")
        self._stream.flush()


def make_report(*, quiet: bool = False, lines: bool = False, verbose: bool = True) -> Report:
    """Choose what fits stderr: nothing when `quiet`, a bar on a terminal unless `lines` are asked for (JSON logs), else lines."""
    if quiet:
        return Report(verbose=verbose)
    return LineReport(verbose=verbose) if lines or not Lossy().isatty() else BarReport(verbose=verbose)
