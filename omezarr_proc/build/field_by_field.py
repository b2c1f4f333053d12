"""The fields of a plate are made: small ones by one worker each, others one after another by all workers."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from omezarr_proc.build.image import Conversion
from omezarr_proc.build.makers import Makers, is_for_all, is_small
from omezarr_proc.build.means import Means
from omezarr_proc.build.solo import SoloMade
from omezarr_proc.engine.base import WorkerLostError
from omezarr_proc.model.errors import InputError, ProcError, without_frames
from omezarr_proc.model.events import Summary
from omezarr_proc.publish.fields import Field
from omezarr_proc.publish.tree import OfFields

# What came of the field at a path; the error is of one that stops no other.
Came = tuple[str, Summary | ProcError]


@dataclass(kw_only=True)
class FieldByField:
    """The fields that are to be made in the tree of their plate.

    fields   the conversion of each, by its path
    trusted  see `Build`
    """

    tree: OfFields
    fields: Mapping[str, Conversion]
    means: Means
    trusted: bool
    _again: list[tuple[str, Field]] = field(default_factory=list)

    def run(self) -> Iterator[Came]:
        """Make those that are not there yet, and yield what came of each, in any order. Raises ProcError where one stops the others."""
        makers: Makers[tuple[str, Field]] = Makers(self.means.solos, self.means.limits)
        try:
            for path, conversion in self.fields.items():
                there = self.tree.field(path)
                if there.made is not None and not self.means.settings.verify:  # the run that has made it may not have compared it
                    yield path, self._kept(path, conversion, there.made)
                    continue
                solo = not (self.tree.unfinished or there.units) and makers.can_make(conversion) and is_small(conversion)
                while makers and not (solo and makers.have_room):
                    yield from self._take(makers)
                if solo and makers.have_room:
                    makers.give((path, there), conversion, path, there)
                else:
                    yield self._make(path, there)
            while makers:
                yield from self._take(makers)
            for path, there in self._again:
                yield self._make(path, there)
        finally:
            makers.stop()

    def _take(self, makers: Makers[tuple[str, Field]]) -> Iterator[Came]:
        for (path, there), made in makers.take(math.inf):
            if not is_for_all(made):
                yield path, self._made(path, there, made)
                continue
            if isinstance(made.error, WorkerLostError) and not self._again:
                self.means.report.retry(f"{made.error}; going on with one field at a time")
            self._again.append((path, there))

    def _made(self, path: str, there: Field, made: SoloMade) -> Summary | ProcError:
        """Note what a worker has made."""
        conversion, report = self.fields[path], self.means.report
        for line in made.lines:
            line.log()
        for phase, seconds in made.phases.items():
            report.spent(phase, seconds)
        try:
            with conversion.given_up(there):
                if made.error:
                    raise made.error
                conversion.refuse_changed()
        except InputError as error:
            return without_frames(error)
        assert made.summary
        report.advance(conversion.pyramid.pixels)
        report.peak(self.means.memory.peak or None)
        there.finish(made.summary.stored_bytes)
        return replace(made.summary, peak_bytes=self.means.memory.peak or None)

    def _make(self, path: str, there: Field) -> Came:
        """Have all workers make a field."""
        conversion = self.fields[path]
        try:
            conversion.refuse_impossible()
            with conversion.given_up(there):
                summary = conversion.stage(path, there, trusted=self.trusted)
                conversion.refuse_changed()
        except InputError as error:
            return path, without_frames(error)
        there.finish(summary.stored_bytes)
        return path, summary

    def _kept(self, path: str, conversion: Conversion, stored_bytes: int) -> Summary:
        """A field that an earlier run has made."""
        pyramid = conversion.pyramid
        conversion.means.report.advance(pyramid.pixels)
        return Summary(
            name=path,
            shape=pyramid.stored(pyramid.levels[0].shape),
            levels=len(pyramid.levels),
            chunks=pyramid.chunk_count,
            stored_bytes=stored_bytes,
            seconds=0.0,
            pixels=0,
        )
