"""The levels of one image, plan after plan: one that has died, in this run or an earlier one, is followed by a smaller one."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from loguru import logger

from omezarr_proc.build.means import Means
from omezarr_proc.build.passes import Build
from omezarr_proc.build.windows import level_counted_at_once
from omezarr_proc.engine.base import WorkerLostError
from omezarr_proc.model.errors import LimitError, OutOfTimeError
from omezarr_proc.model.image import Image
from omezarr_proc.model.pyramid import Pyramid
from omezarr_proc.pixels.reduction import REDUCTIONS
from omezarr_proc.plan.plan import Plan
from omezarr_proc.store.arrays import spool_file
from omezarr_proc.work.tasks import Job

# Kills in a row before anything was finished, the last two of the smallest plan, and deaths of workers with one plan, after which it is
# given up.
_MOST_STALLED = 3
_MOST_DEATHS = 2

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Attempts:
    """What has the levels of one image made."""

    image: Image
    means: Means
    _plans: dict[tuple[Pyramid, int], Plan] = field(default_factory=dict)

    def run(self, build: Build, then: Callable[[], T]) -> T:
        """Make all levels of `build`, then do what `then` does with the same plan. Raises ProcError."""
        tree = build.tree
        smaller, deaths, plan = tree.unfinished, 0, None
        while True:
            before, plan = plan, self.plan(build.pyramid, smaller)
            if tree.stalled >= _MOST_STALLED and plan == self.plan(build.pyramid, smaller - 2):
                raise LimitError(
                    f"was killed {tree.stalled} times before it got anywhere, the last times with the smallest plan"
                    f" ({plan.projected_bytes >> 20} MB): if memory ran out, give it more than the"
                    f" {self.means.limits.memory_bytes >> 20} MB that there are;"
                    " if somebody else killed it (a time limit, a stop), see to that and run it again",
                    source=self.image.source,
                )
            logger.bind(phase="plan", projected_bytes=plan.projected_bytes).debug(f"{self.image.source}: {plan}")
            tree.begin({"workers": plan.workers, "slots": plan.slots, "slot_bytes": plan.slot_bytes, "chunks": build.chunks})
            self._begin(build, plan)
            try:
                self.means.report.phase("resume")
                build.take_over(None if self.means.deadline is None else (time.monotonic() + self.means.deadline) / 2)
                self.means.report.start(self.image.source, build.pixels, done=build.pixels * build.percent // 100)
                self.means.report.phase("levels")
                build.run(plan)
                return then()
            except WorkerLostError as lost:
                tree.end("worker lost")
                deaths = deaths + 1 if before == plan else 1
                if deaths > _MOST_DEATHS:
                    raise
                smaller += 1
                self.means.report.retry(f"{self.image.source}: {lost}; going on with a smaller plan")
            except OutOfTimeError:
                hint = "run it again to go on from there"
                raise OutOfTimeError(f"out of time at {build.percent} %", source=self.image.source, hint=hint) from None

    def plan(self, pyramid: Pyramid, smaller: int = 0) -> Plan:
        """See `make_plan`; each is made once."""
        if (pyramid, smaller) not in self._plans:
            settings = self.means.settings
            keeps_pixels = REDUCTIONS[settings.downsample_method].keeps_pixels
            kept = {"keeps_pixels": keeps_pixels, "certified": settings.certificate}
            plan = self.means.planner(self.image, pyramid, self.means.limits, smaller, **kept)
            self._plans[pyramid, smaller] = plan
        return self._plans[pyramid, smaller]

    def _begin(self, build: Build, plan: Plan) -> None:
        spool = spool_file(build.tree.place, plan.spool_bytes) if plan.spool_bytes else None
        method, lenient = self.means.settings.downsample_method, self.means.settings.on_corrupt == "warn"
        image, hashed = replace(self.image.alone(), profile=None), build.taken is not None
        counted = level_counted_at_once(self.image, build.pyramid, travels=self.means.engine.travels)
        self.means.engine.begin(Job(image, build.store, method, plan.access, lenient, hashed, counted=counted), plan, spool)
