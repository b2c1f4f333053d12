"""What a run converts all its images with."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from omezarr_proc.config.settings import Settings
from omezarr_proc.engine.base import Engine
from omezarr_proc.host.background import Beside
from omezarr_proc.host.limits import Limits
from omezarr_proc.host.memory import PeakMemory
from omezarr_proc.model.events import Progress
from omezarr_proc.plan.plan import Plan, make_plan

if TYPE_CHECKING:
    from omezarr_proc.engine.local.solos import Solos


@dataclass(frozen=True, kw_only=True)
class Means:
    """Settings and limits, who makes bands, and who is told.

    solos     workers that each make a small image by itself; None: there are none
    deadline  when to stop in good order, as time.monotonic() counts
    memory    what all processes take; one that was not started tells nothing
    planner   what makes plans, as `make_plan` does
    beside    how documents are written: network storage takes long beside a small image
    """

    settings: Settings
    limits: Limits
    engine: Engine
    report: Progress
    solos: "Solos | None" = None
    deadline: float | None = None
    memory: PeakMemory = field(default_factory=lambda: PeakMemory(tuple))
    planner: Callable[..., Plan] = make_plan
    beside: Beside = field(default_factory=Beside)
