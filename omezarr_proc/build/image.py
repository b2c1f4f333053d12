"""One image: plan, staging, passes, windows, metadata, publish."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from loguru import logger

from omezarr_proc.build.advice import advice
from omezarr_proc.build.attempts import Attempts
from omezarr_proc.build.dataset import attributes, dataset_key, object_count, pyramid_of
from omezarr_proc.build.means import Means
from omezarr_proc.build.passes import Build
from omezarr_proc.build.taken import Taken
from omezarr_proc.build.windows import display_windows
from omezarr_proc.host.background import Beside
from omezarr_proc.model.address import Place
from omezarr_proc.model.errors import DifferentOutputError, InputError, OutputError
from omezarr_proc.model.events import Advice, Begun, Summary
from omezarr_proc.model.image import FileState, Image
from omezarr_proc.model.pyramid import Pyramid
from omezarr_proc.ngff.windows import Window
from omezarr_proc.publish.lock import Lock
from omezarr_proc.publish.tree import Noting, Tree, tree_for
from omezarr_proc.store.arrays import write_metadata, write_root
from omezarr_proc.store.chunks import ChunkStore
from omezarr_proc.store.codec import codec_for
from omezarr_proc.store.objects import Objects
from omezarr_proc.store.read import open_dataset
from omezarr_proc.tiff.file.changes import changed

if TYPE_CHECKING:
    from omezarr_proc.publish.brief import Brief
    from omezarr_proc.publish.fields import Field
    from omezarr_proc.publish.store_lock import StoreLock


@dataclass(kw_only=True)
class Conversion:
    """One image on its way into a dataset."""

    image: Image
    means: Means

    @property
    def source(self) -> str:
        """The input."""
        return self.image.source

    @cached_property
    def key(self) -> str:
        """What the dataset will be a function of (see `dataset_key`)."""
        return dataset_key(self.image, self.means.settings)

    @property
    def states(self) -> tuple[FileState, ...]:
        """Of all files that it is made of."""
        return self.image.states

    @property
    def made_of(self) -> dict[str, Image]:
        """The images that it is made of, by their paths in the dataset."""
        return {"": self.image}

    @property
    def rows(self) -> Sequence[str]:
        """An image has no rows of wells (see `PlateConversion`)."""
        return ()

    @cached_property
    def pyramid(self) -> Pyramid:
        """Of the dataset. Raises CeilingError (see `pyramid_of`)."""
        return pyramid_of(self.image, self.means.settings)

    def begun(self, target: Place) -> Begun:
        """What is going to be made."""
        return Begun(
            source=self.source,
            series=self.image.series,
            target=str(target),
            shape=self.pyramid.stored(self.pyramid.levels[0].shape),
            levels=len(self.pyramid.levels),
            objects=object_count(self.image, self.pyramid, self.means.settings),
        )

    @property
    def notes(self) -> Sequence[str]:
        """What the log should say of the image."""
        return self.image.notes

    def advice(self) -> Iterator[Advice]:
        """What a person should know before it is converted."""
        return advice(self.image, self.pyramid, self.means.settings)

    @cached_property
    def taken(self) -> Taken | None:
        """What is taken of the image while it is converted, where a certificate is asked for."""
        return Taken(self.image, self.pyramid) if self.means.settings.certificate else None

    @property
    def taken_of(self) -> dict[str, Taken | None]:
        """The same for each of `made_of`."""
        return {"": self.taken}

    @cached_property
    def attempts(self) -> Attempts:
        """What has its levels made."""
        return Attempts(image=self.image, means=self.means)

    def store(self, objects: Objects, pyramid: Pyramid) -> ChunkStore:
        """The chunks of the dataset, or of some of its levels, among `objects`."""
        codec = codec_for(pyramid.dtype, self.means.settings.compression, self.means.settings.compression_level)
        return ChunkStore(objects, pyramid, codec, 2 if self.means.settings.zarr_format == "2" else 3)

    def refuse_changed(self) -> None:
        """Raise InputError where an input is not any more what was opened."""
        if error := changed(self.image.states):
            error.hint = "nothing is published; run it again when it is complete"
            raise error

    def refuse_impossible(self) -> None:
        """Raise ProcError, before anything is written, for what cannot be done within the limits."""
        self.attempts.plan(self.pyramid)

    def run(self, target: Place, lock: "Lock | StoreLock", *, trusted: bool = False) -> Summary:
        """Convert into `target`, which `lock` holds, and publish. `trusted`: see `Build`.

        Raises ProcError; then nothing has appeared under the target's name, and what is finished waits for the next run; after an
        InputError nothing is left of it.
        """
        self.refuse_impossible()
        way = tree_for(self.means.settings.output_dir, self.means.settings.output_layout)
        tree: Tree = way(target, self.key, lock, force=self.force, deadline=self.means.deadline)
        with self.given_up(tree):
            summary = self.stage(target, tree, trusted=trusted)
            self.refuse_changed()
            tree.publish()
        return summary

    @property
    def force(self) -> bool:
        """Whether to replace whatever has the dataset's name."""
        return self.means.settings.existing == "force"

    @contextmanager
    def given_up(self, tree: "Tree | Brief | Field") -> Iterator[None]:
        """Within, the dataset is made and published; what another run would find the same, or go on with what is wrong, is removed."""
        try:
            yield
        except (InputError, DifferentOutputError):
            tree.give_up()
            self.refuse_changed()  # what looks corrupt can be a file that is being written
            raise

    def stage(self, target: Place | str, tree: Noting, *, trusted: bool = False) -> Summary:
        """Make all of the dataset but its name, and close the tree. Raises ProcError."""
        from omezarr_proc.check.verdict import refuse_wrong  # which parts that do not publish can do without

        store = self.store(tree.objects, self.pyramid)
        began, memory = time.monotonic(), self.means.memory
        memory.begin()
        try:
            with noted(tree):
                build = Build(
                    image=self.image,
                    store=store,
                    engine=self.means.engine,
                    tree=tree,
                    progress=self.means.report,
                    trusted=trusted,
                    taken=self.taken,
                )
                with _beside(self.means.beside, lambda: self._write_metadata(store)):  # network storage takes long beside a small image
                    found = self.attempts.run(build, lambda: self._windows(build))
                self.means.report.phase("publish")
                tree.flush()
                write_root(store.objects, attributes(self.image, self.means.settings, self.key, store, found), store.zarr_format)
                refuse_wrong(tree.place)
                if self.means.settings.verify:
                    from omezarr_proc.build.verify import refuse_different

                    staged = replace(open_dataset(tree.place), stored=tree.objects)
                    refuse_different(staged, self.image, self.means.settings, self.means.engine, self.means.limits)
        finally:
            self.means.report.peak(memory.peak or None)
        return self._summary(target, build, time.monotonic() - began, memory.peak or None)

    def _windows(self, build: Build) -> tuple[Window, ...]:
        logger.bind(phase="windows").debug(f"{self.image.source}: display windows")
        self.means.report.phase("windows")
        return display_windows(self.means.engine, self.image, build.pyramid, build.tally.extremes, build.tally.counts)

    def _write_metadata(self, store: ChunkStore) -> None:
        kept = self.image.own_ome_xml if self.image.ome_xml and self.means.settings.ome_xml == "keep" else b""
        write_metadata(store, kept, self.image.profile or b"")

    def _summary(self, target: Place | str, build: Build, seconds: float, peak_bytes: int | None) -> Summary:
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
def noted(tree: Noting) -> Iterator[None]:
    """Within, a tree or a share of it is made; however that ends is noted, and nothing more after it."""
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


@contextmanager
def _beside(beside: Beside, work: Callable[[], None]) -> Iterator[None]:
    """Within, `work` is done beside; at the end it is waited for, and what went wrong with it is raised.

    After an error it is waited for only where what it writes is removed next, which an InputError means.
    """
    background = beside.begin("metadata", work)
    try:
        yield
    except InputError:
        background.wait()
        raise
    background.wait()
    background.check()
