"""What a run converts all its images with."""

from collections.abc import Callable
from dataclasses import dataclass, field

from omezarr_proc.config.settings import Settings
from omezarr_proc.engine.base import Engine
from omezarr_proc.host.background import Beside
from omezarr_proc.host.limits import Limits
from omezarr_proc.host.memory import PeakMemory
from omezarr_proc.model.events import Progress
from omezarr_proc.plan.plan import Plan, make_plan


@dataclass(frozen=True, kw_only=True)
class Means:
    """Settings and limits, who makes bands, and who is told.

    deadline  when to stop in good order, as time.monotonic() counts
    memory    what all processes take; one that was not started tells nothing
    planner   what makes plans, as `make_plan` does
    beside    how documents are written: network storage takes long beside a small image
    """

    settings: Settings
    limits: Limits
    engine: Engine
    report: Progress
    deadline: float | None = None
    memory: PeakMemory = field(default_factory=lambda: PeakMemory(tuple))
    planner: Callable[..., Plan] = make_plan
    beside: Beside = field(default_factory=Beside)
