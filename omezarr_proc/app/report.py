"""What a run tells of itself as events: `Report` takes them, says in the log what came of each image, and keeps it for the summary.

Of many images each is told of only where all is wanted (`verbose`): else it is what goes wrong, how far the batch is, and the summary.
"""

from dataclasses import asdict, dataclass, replace

from loguru import logger

from omezarr_proc.app.results import Results, Work
from omezarr_proc.app.standard import say
from omezarr_proc.app.summary import summary_lines
from omezarr_proc.model.errors import ProcError
from omezarr_proc.model.events import Advice, Begun, Phase, Summary
from omezarr_proc.model.text import counted, duration, one_line, shown

MANY = 20  # above so many images not each is told of


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
        """Nothing more is told, in whatever way it ended."""

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

    def spent(self, phase: Phase, seconds: float) -> None:
        """Count time for this phase that a worker has had for the image."""
        self.results.spent(phase, seconds)

    def at_once(self, name: str, total: int) -> None:
        """All pixels of an image are made: one worker has, of which nothing was told before."""

    def retry(self, reason: str) -> None:
        """Say what was lost."""
        self.results.retry()
        logger.bind(event="retry").warning(reason)

    def peak(self, memory: int | None) -> None:
        """Keep what the image took."""
        self.results.peak(memory)

    def leave(self) -> None:
        """Leave the image; the inputs' turn is where it was."""
        self._number, self._of = self._turn

    def aside(self) -> Aside:
        """Leave the image for now; others come before it ends."""
        number, of, work = self._number, self._of, self.results.aside()
        self.leave()
        made = "levels" in work.phases
        self._made += made
        return Aside(work, number, of, made)

    def again(self, image: Aside) -> None:
        """Come back to it."""
        self.results.again(image.work)
        self._number, self._of = image.number, image.of
        self._made -= image.made

    @property
    def made(self) -> int:
        """How many images are made, or left as they are, those too that wait for their names."""
        return len(self.results.done) + self._made

    def finish(self, summary: Summary) -> None:
        """End an image that has been converted."""
        self.leave()
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
        self.leave()
        self.results.end("skipped", name, target, reason=reason)
        image = shown(name)
        self.skipped.append((image, reason))
        logger.bind(event="image-skipped", image=image, source=name, dataset=target).info(f"{image}: {reason}")

    def share(self, name: str, done: str, target: str) -> None:
        """End an image of which this run's part is done; others go on with it."""
        self.leave()
        self.results.end("part", name, target, reason=done)
        image = shown(name)
        self.shared.append((image, done))
        logger.bind(event="image-part", image=image, source=name, dataset=target).info(f"{image}: {done}")

    def fail(self, name: str, error: ProcError, target: str | None = None) -> None:
        """End an image that failed."""
        self.leave()
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
