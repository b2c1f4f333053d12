"""One plate: each field becomes an image of the tree of the plate, which then is published as one.

A field that is whole stays so: a run that was killed goes on with the next one.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from omezarr_proc.build.dataset import own_attributes, plate_key
from omezarr_proc.build.fields import by_path, field_of, plate_groups, plate_notes, plate_objects
from omezarr_proc.build.image import Conversion, noted
from omezarr_proc.build.means import Means
from omezarr_proc.build.taken import Taken
from omezarr_proc.check.verdict import refuse_wrong
from omezarr_proc.model.address import Place
from omezarr_proc.model.errors import (
    InputError,
    OutOfTimeError,
    ProcError,
    leading,
    without_frames,
)
from omezarr_proc.model.events import Advice, Begun, Phase, Progress, Summary
from omezarr_proc.model.image import FileState, Image
from omezarr_proc.publish.fields import Field
from omezarr_proc.publish.lock import Lock
from omezarr_proc.publish.tree import OfFields, Tree, tree_for
from omezarr_proc.store.arrays import OME_XML, put_all, write_root
from omezarr_proc.store.documents import group_documents
from omezarr_proc.tiff.file.changes import changed

if TYPE_CHECKING:
    from omezarr_proc.publish.store_lock import StoreLock

# In the error of a plate.
NAMED_FIELDS = 3


@dataclass(kw_only=True)
class PlateConversion:
    """All fields of one plate on their way into one dataset: what a `Conversion` is for one image.

    images  its fields
    """

    images: tuple[Image, ...]
    means: Means

    @property
    def source(self) -> str:
        """The input."""
        return self.images[0].source

    @property
    def states(self) -> tuple[FileState, ...]:
        """Of all files that it is made of."""
        return self.images[0].states

    @property
    def made_of(self) -> dict[str, Image]:
        """The images that it is made of, by their paths in the dataset."""
        return {path: field.image for path, field in self.fields.items()}

    @property
    def taken_of(self) -> dict[str, Taken | None]:
        """What is taken of each field while it is converted (see `Conversion`)."""
        return {path: field.taken for path, field in self.fields.items()}

    @cached_property
    def fields(self) -> dict[str, Conversion]:
        """The conversion of each field, by its path in the plate (see `by_path`)."""
        return {
            path: Conversion(image=image.alone(), means=replace(self.means, report=_Within(self.means.report)))
            for path, image in by_path(self.images).items()
        }

    @property
    def rows(self) -> list[str]:
        """What the rows with wells are called: what the dataset has at its top beside what all datasets have there."""
        return list(dict.fromkeys(path.split("/")[0] for path in self.fields))

    @cached_property
    def key(self) -> str:
        """What the dataset will be a function of (see `plate_key`)."""
        return plate_key(
            {path: field.key for path, field in self.fields.items()}, field_of(self.images[0]).plate, self.means.settings.ngff_version
        )

    def begun(self, target: Place) -> Begun:
        """What is going to be made; the shape is that of the first field."""
        first = next(iter(self.fields.values()))
        return replace(first.begun(target), series=self.images[0].series, objects=plate_objects(self.images, self.means.settings))

    @property
    def notes(self) -> Sequence[str]:
        """What the log should say of the plate and its fields."""
        return plate_notes(self.images)

    def advice(self) -> Iterator[Advice]:
        """What a person should know before it is converted."""
        yield from next(iter(self.fields.values())).advice()

    def run(self, target: Place, lock: "Lock | StoreLock", *, trusted: bool = False) -> Summary:
        """Convert into `target`, which `lock` holds, and publish. `trusted`: see `Build`.

        Raises ProcError; then nothing has appeared under the target's name, and what is finished waits for the next run.
        """
        self.refuse_impossible()
        settings = self.means.settings
        way = tree_for(settings.output_dir, settings.output_layout)
        force = settings.existing == "force"
        tree: Tree = way(target, self.key, lock, force=force, deadline=self.means.deadline, rows=self.rows)
        began = time.monotonic()
        with noted(tree):
            done = self.make(tree, self.fields, trusted=trusted)
            self.means.report.phase("publish")
            tree.flush()
            self._write_metadata(tree)
            refuse_wrong(tree.place)
        seconds = time.monotonic() - began
        self.refuse_changed()
        tree.publish()
        return Summary(
            name=str(target),
            shape=done[0].shape,
            levels=done[0].levels,
            chunks=sum(field.chunks for field in done),
            stored_bytes=sum(field.stored_bytes for field in done),
            seconds=seconds,
            pixels=sum(field.pixels for field in done),
            peak_bytes=max((field.peak_bytes or 0 for field in done), default=0) or None,
        )

    def refuse_impossible(self) -> None:
        """Raise ProcError where not even the first field can be made within the limits; of each other one that shows in its turn."""
        next(iter(self.fields.values())).refuse_impossible()

    def refuse_changed(self) -> None:
        """Raise InputError where an input is not any more what was opened."""
        if error := changed(self.states):
            error.hint = "nothing is published; run it again when it is complete"
            raise error

    def make(self, tree: OfFields, paths: Iterable[str], *, trusted: bool = False) -> list[Summary]:
        """Make those of the fields at `paths` that are not there yet; those that fail do not stop the others.

        Raises ProcError where one has failed, or does stop the others.
        """
        fields = {path: self.fields[path] for path in paths}
        tree.begin({"fields": list(self.fields)})
        self.means.report.start(self.source, sum(field.pyramid.pixels for field in fields.values()))
        done: list[Summary] = []
        failed: list[ProcError] = []
        for path, conversion in fields.items():
            try:
                done.append(self._one(tree.field(path), path, conversion, trusted))
            except InputError as error:
                failed.append(without_frames(error))
            except OutOfTimeError:
                hint = "run it again to go on from there"
                raise OutOfTimeError(f"out of time after {len(done)} of {len(fields)} fields", source=self.source, hint=hint) from None
        if failed:
            raise self._failure(failed)
        return done

    def _one(self, field: Field, path: str, conversion: Conversion, trusted: bool) -> Summary:
        if field.made is None or self.means.settings.verify:  # the run that has made it may not have compared it
            conversion.refuse_impossible()
            with conversion.given_up(field):
                summary = conversion.stage(path, field, trusted=trusted)
                conversion.refuse_changed()
            field.finish(summary.stored_bytes)
            return summary
        pyramid = conversion.pyramid
        conversion.means.report.advance(pyramid.pixels)
        return Summary(
            name=path,
            shape=pyramid.stored(pyramid.levels[0].shape),
            levels=len(pyramid.levels),
            chunks=pyramid.chunk_count,
            stored_bytes=field.made,
            seconds=0.0,
            pixels=0,
        )

    def _failure(self, failed: Sequence[ProcError]) -> ProcError:
        named = "; ".join(str(error) for error in failed[:NAMED_FIELDS])
        more = f"; and {len(failed) - NAMED_FIELDS} more" if len(failed) > NAMED_FIELDS else ""
        kind = leading(failed).kind
        return kind(
            f"{len(failed)} of {len(self.fields)} fields failed, so the plate is not published: {named}{more}",
            source=self.source,
            hint="repair the file and run it again, or set PLATES=off, which makes a dataset of each field",
        )

    def _write_metadata(self, tree: Tree) -> None:
        """The groups of rows, wells and plate, the plate's last; the OME-XML is kept once, at the top."""
        zarr_format: Literal[2, 3] = 2 if self.means.settings.zarr_format == "2" else 3
        version = self.means.settings.ngff_version
        groups = plate_groups(self.images, own_attributes(self.key, self.notes[1:]), zarr_format, version)
        root = groups.pop("")
        documents = {
            f"{path}/{name}": document
            for path, attributes in groups.items()
            for name, document in group_documents(attributes, zarr_format).items()
        }
        if (text := self.images[0].ome_xml) and self.means.settings.ome_xml == "keep":
            documents[OME_XML] = text.encode()
        put_all(tree.objects, documents)
        write_root(tree.objects, root, zarr_format)


class _Within:
    """The progress of a field as part of that of its plate: what is read back of an earlier run is not part of it."""

    def __init__(self, report: Progress) -> None:
        self._report = report
        self._counts, self._done = True, 0

    def start(self, name: str, total: int, unit: str = "px", done: int = 0) -> None:
        """Begin the field, again where a worker was lost."""
        self._counts = unit == "px"
        self.advance(max(0, done - self._done))

    def advance(self, amount: int) -> None:
        """Count for the plate."""
        if self._counts:
            self._done += amount
            self._report.advance(amount)

    def phase(self, phase: Phase) -> None:
        """Count the time."""
        self._report.phase(phase)

    def retry(self, reason: str) -> None:
        """Say what was lost."""
        self._report.retry(reason)

    def peak(self, memory: int | None) -> None:
        """Pass on that of the field."""
        self._report.peak(memory)
