"""A run on a cluster: this process opens all inputs, cuts the batch into shares, hands these out, and gives one account of all.

Shares are those of PART: each has its record, whoever is last publishes, and the datasets are byte for byte those of one run. A worker has
one share at a time. One that is lost with its worker is given out again, and its record says what is left of it, and that it needs a
smaller plan.
"""

import time
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from copy import copy
from dataclasses import replace
from pathlib import Path

from loguru import logger

from omezarr_proc.app.asset import write_beside
from omezarr_proc.app.cluster.errand import Errand, Made, run_errand
from omezarr_proc.app.cluster.gathered import Gathered
from omezarr_proc.app.cluster.waiting import MOST_DEATHS, Waiting, share_count
from omezarr_proc.app.cluster.workers import WORKER_SECONDS, Workers
from omezarr_proc.app.inputs import Input
from omezarr_proc.app.opening import open_inputs
from omezarr_proc.app.report import Report
from omezarr_proc.app.shares import Item, Owned, cut_inputs, shared_out
from omezarr_proc.config.secret import Secret
from omezarr_proc.config.settings import Settings
from omezarr_proc.host.limits import read_limits
from omezarr_proc.model.address import Place
from omezarr_proc.model.errors import ChangedInputError, ClusterError, InputError, LimitError, OutOfTimeError, OutputError, ProcError
from omezarr_proc.model.outcome import Outcome
from omezarr_proc.model.part import Part
from omezarr_proc.publish.lock import LockedError
from omezarr_proc.publish.tree import tree_for

LOOK_SECONDS = 1.0  # between two looks at who is there


def run_on_cluster(settings: Settings, found: Iterable[Input], report: Report, deadline: float | None = None) -> list[Outcome]:
    """Convert every image of every input on the workers of CLUSTER: as `batch.run`.

    Raises ClusterError where there is no cluster (any more), SettingsError where a worker is not like this process.
    """
    inputs, gathered = [_anywhere(entry) for entry in found], Gathered(report)
    settings = replace(settings, output_dir=_absolute(settings.output_dir))
    with Workers(settings.cluster) as workers:
        opened = open_inputs(settings, inputs, read_limits(settings.memory_limit_mb), deadline)
        items = cut_inputs(gathered.openable(opened), settings)
        gathered.of = len(items) + len(gathered.settled)
        if items:
            Handing(settings, workers, items, gathered, deadline).run()
            _forget_failed(settings, gathered, {str(item.target) for item in items if item.weight.of_plate}, deadline)
    outcomes = gathered.in_order(inputs, items)
    write_beside(settings, outcomes)
    return outcomes


class Handing:
    """Hands out shares until all are made."""

    def __init__(self, settings: Settings, workers: Workers, items: list[Item], gathered: Gathered, deadline: float | None) -> None:
        """Raises ClusterError where there is no worker, SettingsError where one is not like this process."""
        self._settings, self._workers, self._items, self._gathered, self._deadline = settings, workers, items, gathered, deadline
        self._fit = workers.first()
        unfit = workers.unfit(self._fit.keys(), settings.output_dir, items[0].entry)
        other = {worker: error for worker, error in unfit.items() if not isinstance(error, ClusterError)}  # all else have not answered
        if other or len(unfit) == len(self._fit):
            worker, error = next(iter((other or unfit).items()))
            more = f" (and {len(other or unfit) - 1} more)" if len(other or unfit) > 1 else ""
            raise error.kind(f"CLUSTER={settings.cluster}: the worker {worker}{more} cannot be used: {error}")
        self._unfit: set[str] = set()
        self._leave_out(unfit)
        self._of = share_count(sum(item.weight.work for item in items), self._fit.values())
        self._shares = shared_out(items, self._of)
        works = {item.target: item.weight.work for item in items}
        self._work = {number: _work(number, mine, works) for number, mine in self._shares.items()}
        self._waiting = Waiting(deque(sorted(self._shares)))
        self._busy: dict[str, tuple[int, str]] = {}  # by worker: the share, and what its answer will be called
        self._seen = self._looked = time.monotonic()
        self._bar = copy(gathered.report)  # of all shares, beside what is said of single images

    def run(self) -> None:
        """Have everything made. Raises ClusterError."""
        count, names = len(self._shares), len(self._fit)
        text = f"{len(self._items)} datasets in {count} shares for {names} workers of {self._settings.cluster}"
        logger.bind(event="cluster", shares=count, workers=names, datasets=len(self._items)).info(text)
        self._bar.start(f"{count} shares", sum(self._work.values()), "B")
        try:
            while self._waiting or self._busy or self._publish():
                self._look()
                if self._deadline is not None and time.monotonic() > self._deadline:
                    self._out_of_time()
                self._give_out()
                if answer := self._workers.answer(LOOK_SECONDS):
                    self._take(*answer)
        finally:
            self._bar.end()

    def _look(self) -> None:
        """See who has gone, and whether who has come fits."""
        now = time.monotonic()
        if now < self._looked + LOOK_SECONDS:
            return
        names = self._workers.names()
        self._looked = time.monotonic()
        for worker in self._busy.keys() - names.keys():
            share, answer = self._busy.pop(worker)
            self._workers.give_up(answer)
            self._died(share, worker, "is gone")
        if new := names.keys() - self._fit.keys() - self._unfit:
            unfit = self._workers.unfit(new, self._settings.output_dir, self._items[0].entry)
            self._leave_out(unfit)
        self._fit = {name: threads for name, threads in names.items() if name not in self._unfit}
        self._unfit &= names.keys()
        self._seen = now if self._fit else self._seen
        if now - self._seen > WORKER_SECONDS:
            raise ClusterError(
                f"CLUSTER={self._settings.cluster}: no worker is left, and none came for {WORKER_SECONDS:.0f} s",
                hint="what is finished is on record; run it again to go on from there",
            )

    def _leave_out(self, unfit: dict[str, ProcError]) -> None:
        for worker, error in unfit.items():
            logger.warning(f"the worker {worker} is not used: {error}")
            self._unfit.add(worker)
            self._fit.pop(worker, None)

    def _give_out(self) -> None:
        for worker in self._fit.keys() - self._busy.keys():
            now = time.monotonic()
            share = self._waiting.take(now)
            if share is None:
                return
            seconds = None if self._deadline is None else self._deadline - now
            errand = Errand(_of_worker(self._settings, Part(share, self._of)), self._shares[share], seconds)
            self._busy[worker] = share, self._workers.ask(worker, run_errand, errand)

    def _take(self, name: str, made: list[Made] | None, reason: str) -> None:
        worker, share = next((worker, share) for worker, (share, answer) in self._busy.items() if answer == name)
        del self._busy[worker]
        if made is None:
            self._fit.pop(worker, None)  # until it is seen again
            self._died(share, worker, f"says: {reason}" if reason else "has stopped")
            return
        in_use = self._gathered.take(share, made, worker)
        if in_use and in_use.error:
            self._again(share, in_use.source, in_use.target, in_use.error)
            return
        told = {str(image.outcome.target) for image in made}
        for entry, target in self._lacking(share):
            if str(target) not in told:
                self._gathered.fail(
                    str(entry.path), target, ChangedInputError("has other images than when this run began", source=entry.path)
                )
        self._bar.advance(self._work.pop(share, 0))
        logger.debug(f"share {share}/{self._of} is done by {worker}")

    def _publish(self) -> bool:
        """Have a dataset published whose last part was lost, or held up, while it did so; whether there is one."""
        for item in self._items:
            share = self._gathered.partly.get(str(item.target))
            if share is not None and self._gathered.lacks(item.entry.path, item.target):
                error = LockedError("is made, and somebody else holds it: run it again to publish it", source=item.target)
                self._again(share, str(item.entry.path), item.target, error)
                return True
        return False

    def _again(self, share: int, source: str, target: Place | None, error: ProcError) -> None:
        if not self._waiting.in_use(share, time.monotonic()):
            self._gathered.fail(source, target, error)

    def _died(self, share: int, worker: str, reason: str) -> None:
        if self._waiting.died(share):
            text = f"share {share}/{self._of} was lost: the worker {worker} {reason}; it is given out again"
            self._gathered.report.retry(text)
            return
        for entry, target in self._lacking(share):
            error = LimitError(
                f"share {share}/{self._of} was lost with its worker {MOST_DEATHS} times, the last time with {worker}, which {reason}:"
                " if memory ran out, give workers more; their logs say what happened",
                source=entry.path,
            )
            self._gathered.fail(str(entry.path), target, error)

    def _out_of_time(self) -> None:
        left = [*self._waiting.give_up(), *(share for share, _ in self._busy.values())]
        for _, answer in self._busy.values():
            self._workers.give_up(answer)
        self._busy.clear()
        for share in left:
            for entry, target in self._lacking(share):
                error = OutOfTimeError("not done, since time is up", source=entry.path, hint="run it again to go on")
                self._gathered.fail(str(entry.path), target, error)

    def _lacking(self, share: int) -> list[tuple[Input, Place]]:
        mine = self._shares[share]
        return [(entry, target) for entry in mine for target in mine[entry].datasets if self._gathered.lacks(entry.path, target)]


def _forget_failed(settings: Settings, gathered: Gathered, plates: set[str], deadline: float | None) -> None:
    """What others have made of an image that turned out to be broken is of no use to another run; the fields of a plate are."""
    tree = tree_for(settings.output_dir, settings.output_layout)
    for target in gathered.partly.keys() - plates:
        outcome = gathered.settled.get(target)
        if outcome and isinstance(outcome.error, InputError) and outcome.target is not None:
            with suppress(OutputError), tree.locked(outcome.target):
                tree.discard(outcome.target, deadline)


def _work(number: int, mine: dict[Input, Owned], works: dict[Place | None, int]) -> int:
    """What a share has to make, in bytes of pixels."""
    total = 0
    for target, shared in ((target, shared) for of_entry in mine.values() for target, shared in of_entry.datasets.items()):
        lots = sum(piece.stop - piece.start for piece in shared.pieces)
        total += works[target] * sum(piece.stop - piece.start for piece in shared.pieces if piece.part == number) // lots
    return total


def _of_worker(settings: Settings, part: Part) -> Settings:
    """What a worker is told: no token, and nothing that is done once for the whole run."""
    preview = False if settings.preview == "thumbnail" else settings.preview
    nothing: dict[str, object] = {"session_token": Secret(), "refresh_token": Secret(), "report": None, "metrics": "none"}
    return replace(settings, cluster="", part=part, input_dir=None, asset_properties=False, preview=preview, **nothing)  # type: ignore[arg-type]


def _anywhere(entry: Input) -> Input:
    """An input by a path that holds on all machines."""
    sequence = entry.sequence
    if sequence:
        sequence = replace(sequence, members=tuple((_absolute(path), texts) for path, texts in sequence.members))
    return replace(entry, path=_absolute(entry.path), sequence=sequence)


def _absolute(path: Place) -> Place:
    return path.absolute() if isinstance(path, Path) else path
