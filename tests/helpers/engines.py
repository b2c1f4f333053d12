"""Engines that stop in the middle."""

from collections.abc import Iterator
from itertools import islice

from omezarr_proc.engine.base import Engine, OnEncoded, OnStored
from omezarr_proc.model.errors import OutOfTimeError
from omezarr_proc.model.region import Region
from omezarr_proc.plan.passes import Pass


class Few:
    """An engine that makes some bands, each stored, and is out of time then."""

    def __init__(self, engine: Engine, bands: int) -> None:
        self._engine, self._left = engine, bands
        self.workers, self.begin, self.work, self.rest = engine.workers, engine.begin, engine.work, engine.rest
        self.processes, self.close = engine.processes, engine.close

    def make(self, pass_: Pass, bands: Iterator[Region], on_encoded: OnEncoded, on_stored: OnStored) -> None:
        some = list(islice(bands, self._left))
        self._left -= len(some)
        self._engine.make(pass_, iter(some), on_encoded, on_stored)
        if not self._left:
            raise OutOfTimeError("out of time")
