"""One image converted by an engine and a plan of the test's choice; engines that stop in the middle."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from omezarr_proc.app.report import Report
from omezarr_proc.build.image import Conversion
from omezarr_proc.build.means import Means
from omezarr_proc.config.settings import Settings
from omezarr_proc.engine.base import Engine, OnEncoded, OnStored
from omezarr_proc.host.limits import Limits
from omezarr_proc.model.errors import OutOfTimeError
from omezarr_proc.model.events import Summary
from omezarr_proc.model.image import Image
from omezarr_proc.model.region import Region
from omezarr_proc.plan.passes import Pass
from omezarr_proc.plan.plan import Plan, SlotSizes, make_plan
from omezarr_proc.publish.lock import Lock
from omezarr_proc.tiff.describe.images import open_images

LIMITS = Limits(memory_bytes=512 << 20, headroom_bytes=512 << 20, memory_source="a test", cpus=2.0, cpu_source="a test")

Planner = Callable[..., Plan]


def slots_of(*targets: int, most: int = 16 << 20, access: str | None = None) -> Planner:
    """Makes plans with slots of these sizes, the best first (0: the smallest), where every layout is read by `access`."""
    chosen = {"choose": lambda layout, spool: access} if access else {}
    return partial(make_plan, sizes=SlotSizes(targets, most), **chosen)


def convert(
    source: Path | Image, out: Path, engine: Engine, planner: Planner = make_plan, limits: Limits = LIMITS, **settings: Any
) -> Summary:
    """Make `out/a.ome.zarr` of an image, or of the one that a file holds."""
    image = source if isinstance(source, Image) else open_images(str(source))[0]
    chosen = Settings(**{"output_dir": out, "tile_size": 64, "min_dimension": 32} | settings)
    means = Means(settings=chosen, limits=limits, engine=engine, report=Report(), planner=planner)
    with Lock(out / "a.ome.zarr") as lock:
        return Conversion(image=image, means=means).run(out / "a.ome.zarr", lock)


class Few:
    """An engine that makes some bands, each stored, and is out of time then."""

    def __init__(self, engine: Engine, bands: int) -> None:
        self._engine, self._left = engine, bands
        self.workers, self.travels, self.begin = engine.workers, engine.travels, engine.begin
        self.work, self.rest = engine.work, engine.rest
        self.processes, self.close = engine.processes, engine.close

    def make(self, pass_: Pass, bands: Iterator[Region], on_encoded: OnEncoded, on_stored: OnStored) -> None:
        some = list(islice(bands, self._left))
        self._left -= len(some)
        self._engine.make(pass_, iter(some), on_encoded, on_stored)
        if not self._left:
            raise OutOfTimeError("out of time")
