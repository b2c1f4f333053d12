"""What the workers have made becomes one account: the report of the run is told of each image once, when it has come to its end."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from omezarr_proc.app.cluster.errand import Made
from omezarr_proc.app.inputs import Input
from omezarr_proc.app.report import Report
from omezarr_proc.app.shares import Item, Opened
from omezarr_proc.model.errors import ProcError
from omezarr_proc.model.outcome import Outcome
from omezarr_proc.publish.lock import LockedError


@dataclass
class Gathered:
    """Outcomes so far.

    of       how many there will be
    settled  by dataset, or by input where it could not be opened
    partly   shares of datasets that are done and not published yet, by dataset: the number of one of them
    """

    report: Report
    of: int = 0
    settled: dict[str, Outcome] = field(default_factory=dict)
    partly: dict[str, int] = field(default_factory=dict)

    def openable(self, opened: Iterable[Opened]) -> Iterator[Opened]:
        """What could be opened; what could not has failed."""
        for entry, images in opened:
            if isinstance(images, ProcError):
                self.fail(str(entry.path), None, images)
            else:
                yield entry, images

    def fail(self, source: str, target: object, error: ProcError) -> None:
        """An image that nobody makes any more."""
        name = None if target is None else str(target)
        if (name or source) not in self.settled:
            self.report.fail(source, error, name)
            self._settle(Outcome(source=source, status="failed", target=target, error=error))  # type: ignore[arg-type]

    def take(self, share: int, made: Sequence[Made], worker: str) -> Outcome | None:
        """An answer of a worker; returns the outcome of an image that somebody else works on, for which the share is to be made again."""
        in_use = None
        for image in made:
            outcome = image.outcome
            if outcome.status == "part":
                self.partly[str(outcome.target)] = share
            elif isinstance(outcome.error, LockedError):
                in_use = outcome
            elif self._name(outcome) not in self.settled:
                if outcome.error:
                    outcome.error.message += f" (on the worker {worker})"
                self.report.at(len(self.settled) + 1, self.of)
                for method, arguments in image.events:
                    getattr(self.report, method)(*arguments)
                told = self.report.results.done[-1]  # of this moment; the worker's own has the seconds of the work
                self.report.results.done[-1] = replace(image.result, reason=told.reason)
                self._settle(outcome)
        return in_use

    def lacks(self, source: object, target: object) -> bool:
        """Whether it is not known yet what becomes of a dataset."""
        return str(target) not in self.settled and str(source) not in self.settled

    def in_order(self, inputs: Sequence[Input], items: Sequence[Item]) -> list[Outcome]:
        """All outcomes, in the order of the inputs and of what these hold."""
        of_input = {str(entry.path): n for n, entry in enumerate(inputs)}
        of_item = {str(item.target): n for n, item in enumerate(items)}
        return sorted(self.settled.values(), key=lambda outcome: (of_input[outcome.source], of_item.get(str(outcome.target), -1)))

    def _settle(self, outcome: Outcome) -> None:
        self.settled[self._name(outcome)] = outcome

    @staticmethod
    def _name(outcome: Outcome) -> str:
        return outcome.source if outcome.target is None else str(outcome.target)
