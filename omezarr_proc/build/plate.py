"""One plate: each field becomes an image of the staged plate, then the plate is published as one tree.

A field that is finished stays so: a run that was killed goes on with the next one. While one is made it has hidden files of its own, as a
dataset in a folder has them.
"""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from omezarr_proc.build.dataset import own_attributes, plate_key
from omezarr_proc.build.fields import by_path, field_of, plate_groups, plate_notes, plate_objects
from omezarr_proc.build.image import Conversion, noted
from omezarr_proc.build.means import Means
from omezarr_proc.check.verdict import refuse_wrong
from omezarr_proc.host.faults import output_error
from omezarr_proc.model.address import Place
from omezarr_proc.model.errors import (
    ChangedInputError,
    InputError,
    OutOfTimeError,
    ProcError,
    leading,
    without_frames,
)
from omezarr_proc.model.events import Advice, Begun, Phase, Progress, Summary
from omezarr_proc.model.image import FileState, Image
from omezarr_proc.publish.existing import dataset_key as existing_key
from omezarr_proc.publish.lock import Lock
from omezarr_proc.publish.tree import ByRename, Tree
from omezarr_proc.store.arrays import write_ome_xml, write_root
from omezarr_proc.store.documents import group_documents
from omezarr_proc.tiff.file.changes import changed

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

    @cached_property
    def fields(self) -> dict[str, Conversion]:
        """The conversion of each field, by its path in the plate (see `by_path`)."""
        settings = replace(self.means.settings, existing="replace")
        return {
            path: Conversion(image=image.alone(), means=replace(self.means, settings=settings, report=_Within(self.means.report)))
            for path, image in by_path(self.images).items()
        }

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

    def run(self, target: Place, lock: "Lock") -> Summary:
        """Convert into `target`, which `lock` holds, and publish.

        Raises ProcError; then nothing has appeared under the target's name, and what is finished waits for the next run.
        """
        assert isinstance(target, Path)
        tree = ByRename(target, self.key, lock, force=self.means.settings.existing == "force", deadline=self.means.deadline)
        began = time.monotonic()
        with noted(tree):
            tree.begin({"fields": len(self.fields)})
            self.means.report.start(self.source, sum(field.pyramid.pixels for field in self.fields.values()))
            done = self._make(tree.place)
            self.means.report.phase("publish")
            tree.flush()
            self._write_metadata(tree)
            refuse_wrong(tree.place)
        seconds = time.monotonic() - began
        if what := changed(self.images[0].states):
            raise ChangedInputError(f"{what}: nothing is published; run it again when it is complete")
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

    def _make(self, staging: Path) -> list[Summary]:
        """Make the fields that are not there yet; those that fail do not stop the others."""
        done: list[Summary] = []
        failed: list[ProcError] = []
        for path, field in self.fields.items():
            try:
                done.append(self._one(staging / path, field))
            except InputError as error:
                failed.append(without_frames(error))
            except OutOfTimeError:
                hint = "run it again to go on from there"
                raise OutOfTimeError(f"out of time after {len(done)} of {len(self.fields)} fields", source=self.source, hint=hint) from None
        if failed:
            raise self._failure(failed)
        return done

    def _one(self, target: Path, conversion: Conversion) -> Summary:
        with ByRename.locked(target) as lock:
            if existing_key(target) != conversion.key:
                return conversion.run(target, lock)
            ByRename.discard(target, self.means.deadline)  # it was published just before a kill
        pyramid = conversion.pyramid
        conversion.means.report.advance(pyramid.pixels)
        return Summary(
            name=str(target),
            shape=pyramid.stored(pyramid.levels[0].shape),
            levels=len(pyramid.levels),
            chunks=pyramid.chunk_count,
            stored_bytes=_bytes_below(target),
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
        for path, attributes in groups.items():
            for name, document in group_documents(attributes, zarr_format).items():
                tree.objects.put(f"{path}/{name}", document, atomic=True)
        if (text := self.images[0].ome_xml) and self.means.settings.ome_xml == "keep":
            write_ome_xml(tree.objects, text)
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

    def advance(self, units: int) -> None:
        """Count for the plate."""
        if self._counts:
            self._done += units
            self._report.advance(units)

    def phase(self, phase: Phase) -> None:
        """Count the time."""
        self._report.phase(phase)

    def retry(self, reason: str) -> None:
        """Say what was lost."""
        self._report.retry(reason)

    def peak(self, memory: int | None) -> None:
        """Pass on that of the field."""
        self._report.peak(memory)


def _bytes_below(folder: Path) -> int:
    """The bytes of all files. Raises OutputError."""
    try:
        return sum(os.lstat(os.path.join(parent, name)).st_size for parent, _, names in os.walk(folder) for name in names)
    except OSError as error:
        raise output_error("cannot look at", error, folder) from error
