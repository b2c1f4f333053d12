"""One image: plan, staging, passes, windows, metadata, publish."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING

from loguru import logger

from omezarr_proc.build.advice import advice
from omezarr_proc.build.dataset import attributes, dataset_key, object_count, pyramid_of
from omezarr_proc.build.passes import Build
from omezarr_proc.build.windows import display_windows
from omezarr_proc.check.verdict import refuse_wrong
from omezarr_proc.config.settings import Settings
from omezarr_proc.engine.base import Engine, WorkerLostError
from omezarr_proc.host.limits import Limits
from omezarr_proc.host.memory import PeakMemory
from omezarr_proc.model.address import Place
from omezarr_proc.model.errors import ChangedInputError, InputError, LimitError, OutOfTimeError, OutputError
from omezarr_proc.model.events import Advice, Begun, Progress, Summary
from omezarr_proc.model.image import Image
from omezarr_proc.model.pyramid import Pyramid
from omezarr_proc.ngff.windows import Window
from omezarr_proc.pixels.reduction import REDUCTIONS
from omezarr_proc.plan.memory import Plan, make_plan
from omezarr_proc.publish.lock import Lock
from omezarr_proc.publish.tree import Tree, tree_for
from omezarr_proc.store.arrays import spool_file, write_arrays, write_ome_xml, write_root
from omezarr_proc.store.chunks import ChunkStore
from omezarr_proc.store.codec import codec_for
from omezarr_proc.tiff.file.changes import changed
from omezarr_proc.work.tasks import Job

if TYPE_CHECKING:
    from omezarr_proc.publish.store_lock import StoreLock

# Kills in a row before anything was finished, the last two of the smallest plan, and deaths of workers with one plan, after which it is
# given up.
_MOST_STALLED = 3
_MOST_DEATHS = 2


@dataclass(kw_only=True)
class Conversion:
    """One image on its way into a dataset.

    deadline  when to stop in good order, as time.monotonic() counts
    """

    image: Image
    settings: Settings
    limits: Limits
    engine: Engine
    report: Progress
    deadline: float | None = None

    @property
    def source(self) -> str:
        """The input."""
        return self.image.source

    @cached_property
    def key(self) -> str:
        """What the dataset will be a function of (see `dataset_key`)."""
        return dataset_key(self.image, self.settings)

    @cached_property
    def pyramid(self) -> Pyramid:
        """Of the dataset. Raises CeilingError (see `pyramid_of`)."""
        return pyramid_of(self.image, self.settings)

    def begun(self, target: Place) -> Begun:
        """What is going to be made."""
        return Begun(
            source=self.source,
            series=self.image.series,
            target=str(target),
            shape=self.pyramid.stored(self.pyramid.levels[0].shape),
            levels=len(self.pyramid.levels),
            objects=object_count(self.image, self.pyramid, self.settings),
        )

    @property
    def notes(self) -> Sequence[str]:
        """What the log should say of the image."""
        return self.image.notes

    def advice(self) -> Iterator[Advice]:
        """What a person should know before it is converted."""
        return advice(self.image, self.pyramid, self.settings)

    def run(self, target: Place, lock: "Lock | StoreLock") -> Summary:
        """Convert into `target`, which `lock` holds, and publish.

        Raises ProcError; then nothing has appeared under the target's name, and what is finished waits for the next run; after an
        InputError nothing is left of it.
        """
        pyramid = self.pyramid
        self._plan(pyramid)  # refuses what cannot be done before anything is written
        codec = codec_for(pyramid.dtype, self.settings.compression, self.settings.compression_level)
        force = self.settings.existing == "force"
        layout = tree_for(self.settings.output_dir, self.settings.output_layout)
        tree: Tree = layout(target, self.key, lock, force=force, deadline=self.deadline)
        store = ChunkStore(tree.objects, pyramid, codec, 2 if self.settings.zarr_format == "2" else 3)
        began = time.monotonic()
        with PeakMemory(self.engine.processes) as memory:
            try:
                with noted(tree):
                    build = Build(image=self.image, store=store, engine=self.engine, tree=tree, progress=self.report)
                    with _Background(lambda: self._write_metadata(store)):  # network storage takes long beside a small image
                        found = self._build(build, tree)
                    self.report.phase("publish")
                    tree.flush()
                    write_root(store.objects, attributes(self.image, self.settings, self.key, store, found), store.zarr_format)
                    refuse_wrong(tree.place)
                seconds = time.monotonic() - began
                self._refuse_changed()
                tree.publish()
            except InputError:  # what looks corrupt can be a file that is being written; else another run would find the same
                tree.give_up()
                self._refuse_changed()
                raise
            finally:
                self.report.peak(memory.peak or None)
        return self._summary(target, build, seconds, memory.peak or None)

    def _refuse_changed(self) -> None:
        """Raise InputError where an input is not any more what was opened."""
        if what := changed(self.image.states):
            raise ChangedInputError(f"{what}: nothing is published; run it again when it is complete")

    def _build(self, build: Build, tree: Tree) -> tuple[Window, ...]:
        """Make all levels, then find the display windows.

        Tries the plans from the best on: one that died before, in this run or an earlier one, is followed by a smaller one.
        """
        smaller, deaths, plan = tree.unfinished, 0, None
        while True:
            before, plan = plan, self._plan(build.pyramid, smaller)
            if tree.stalled >= _MOST_STALLED and plan == self._plan(build.pyramid, smaller - 2):
                raise LimitError(
                    f"was killed {tree.stalled} times before it got anywhere, the last times with the smallest plan"
                    f" ({plan.projected_bytes >> 20} MB): if memory ran out, give it more than the {self.limits.memory_bytes >> 20} MB that"
                    " there are; if somebody else killed it (a time limit, a stop), see to that and run it again",
                    source=self.image.source,
                )
            logger.bind(phase="plan", projected_bytes=plan.projected_bytes).debug(f"{self.image.source}: {plan}")
            tree.begin({"workers": plan.workers, "slots": plan.slots, "slot_bytes": plan.slot_bytes})
            self._begin(build, plan)
            try:
                self.report.phase("resume")
                build.take_over(None if self.deadline is None else (time.monotonic() + self.deadline) / 2)
                total = build.pyramid.pixels
                self.report.start(self.image.source, total, done=total * build.percent // 100)
                self.report.phase("levels")
                build.run(plan)
                logger.bind(phase="windows").debug(f"{self.image.source}: display windows")
                self.report.phase("windows")
                return display_windows(self.engine, self.image, build.pyramid, build.tally.extremes)
            except WorkerLostError as lost:
                tree.end("worker lost")
                deaths = deaths + 1 if before == plan else 1
                if deaths > _MOST_DEATHS:
                    raise
                smaller += 1
                self.report.retry(f"{self.image.source}: {lost}; going on with a smaller plan")
            except OutOfTimeError:
                hint = "run it again to go on from there"
                raise OutOfTimeError(f"out of time at {build.percent} %", source=self.image.source, hint=hint) from None

    def _plan(self, pyramid: Pyramid, smaller: int = 0) -> Plan:
        keeps_pixels = REDUCTIONS[self.settings.downsample_method].keeps_pixels
        return make_plan(self.image, pyramid, self.limits, smaller, keeps_pixels=keeps_pixels)

    def _begin(self, build: Build, plan: Plan) -> None:
        spool = spool_file(build.tree.place, plan.spool_bytes) if plan.spool_bytes else None
        text = self.image.ome_xml and ""  # workers only ask whether there is one
        method, lenient = self.settings.downsample_method, self.settings.on_corrupt == "warn"
        self.engine.begin(Job(replace(self.image, ome_xml=text), build.store, method, plan.access, lenient), plan, spool)

    def _write_metadata(self, store: ChunkStore) -> None:
        write_arrays(store)
        if self.image.ome_xml and self.settings.ome_xml == "keep":
            write_ome_xml(store.objects, self.image.ome_xml)

    def _summary(self, target: Place, build: Build, seconds: float, peak_bytes: int | None) -> Summary:
        image, pyramid = self.image, build.pyramid
        pixels = image.size_t * image.size_c * image.size_z * image.height * image.width * (100 - build.taken_over) // 100
        shape = pyramid.stored(pyramid.levels[0].shape)
        return Summary(
            name=str(target),
            shape=shape,
            levels=len(pyramid.levels),
            chunks=pyramid.chunk_count,
            stored_bytes=build.tally.bytes,
            seconds=seconds,
            pixels=pixels,
            peak_bytes=peak_bytes,
        )


@contextmanager
def noted(tree: Tree) -> Iterator[None]:
    """Within, the tree is made; however that ends is noted, and nothing more after it."""
    try:
        yield
    except BaseException as error:
        try:
            tree.end(type(error).__name__, 1.0)  # a stopping container has no more time
        except OutputError as unsaid:
            logger.debug(f"the record cannot be ended: {unsaid}")
        raise
    else:
        tree.end("finished")
    finally:
        tree.close()


class _Background(threading.Thread):
    """Work beside what is done within; at the end it is waited for, and what went wrong with it is raised.

    After an error it is waited for only where what it writes is removed next, which an InputError means. A daemon: storage that is stuck
    must not keep the process from ending.
    """

    def __init__(self, work: Callable[[], None]) -> None:
        super().__init__(name="metadata", daemon=True)
        self._work = work
        self._error: BaseException | None = None
        try:
            self.start()
        except RuntimeError:  # no thread is allowed: at once instead
            self.run()

    def run(self) -> None:
        """Do the work, and keep what went wrong."""
        try:
            self._work()
        except BaseException as error:
            self._error = error

    def __enter__(self) -> None:
        """It works already."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is not None and not isinstance(error, InputError):
            return
        if self.ident is not None:  # was started
            self.join()
        if error is None and self._error is not None:
            raise self._error
