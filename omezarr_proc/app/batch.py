"""The run: inputs -> each image in turn, small ones together -> results. One bad input never stops the others."""

import math
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from omezarr_proc.app.asset import write_beside
from omezarr_proc.app.glances import items_of_part
from omezarr_proc.app.images import Images
from omezarr_proc.app.inputs import Input, dataset_path
from omezarr_proc.app.opening import open_inputs
from omezarr_proc.app.outcomes import Outcomes
from omezarr_proc.app.report import Report
from omezarr_proc.app.shares import Owned, chosen, owned
from omezarr_proc.config.settings import Settings
from omezarr_proc.host.limits import read_limits
from omezarr_proc.host.memory import PeakMemory
from omezarr_proc.model.address import Address
from omezarr_proc.model.outcome import Outcome
from omezarr_proc.publish.tree import tree_for
from omezarr_proc.store.opening import first_link

if TYPE_CHECKING:
    from omezarr_proc.app.together import Most

# Before the deadline: to end the tasks at work, note what is done, and publish what is finished. With one CPU; longer with less.
STOP_SECONDS = 4.0


def run(
    settings: Settings,
    found: Iterable[Input],
    report: Report,
    *,
    deadline: float | None = None,
    may_fork: bool = True,
    mine: dict[Input, Owned] | None = None,
    most: "Most | None" = None,
) -> list[Outcome]:
    """Convert every image of every input; errors are outcomes, told to `report` where they happen.

    found     the inputs; iterated when the nursery is there, since that may ask an object store
    deadline  when to stop in good order, as time.monotonic() counts
    may_fork  whether this process is ours to fork
    mine      what of each input is this part's, where somebody knows; else the part finds out
    most      how large a bunch of small images becomes
    """
    if settings.cluster:
        from omezarr_proc.app.cluster.run import run_on_cluster

        return run_on_cluster(settings, found, report, deadline)
    from omezarr_proc.engine.local.nursery import EXECUTED_BYTES, Nursery

    limits = read_limits(settings.memory_limit_mb, settings.max_workers)  # before our own processes are part of what is in use
    if deadline is not None:
        deadline -= min(STOP_SECONDS / min(1.0, limits.cpus), (deadline - time.monotonic()) / 2)
    nursery = Nursery(may_fork=may_fork)  # before any thread of ours is there; one that is started by exec imports while we do
    if not nursery.forked:
        limits = replace(limits, headroom_bytes=max(0, limits.headroom_bytes - EXECUTED_BYTES))
    from omezarr_proc.build.means import Means
    from omezarr_proc.engine.local.engine import Local

    if isinstance(settings.output_dir, Address):
        from omezarr_proc.plan.memory import STORE_BYTES

        limits = replace(limits, headroom_bytes=max(0, limits.headroom_bytes - STORE_BYTES * (1 + math.ceil(limits.cpus))))
    engine = Local(nursery, deadline, settings.stall_seconds)
    distant = False
    try:
        inputs = list(found)
        distant = any(isinstance(entry.path, Address) for entry in inputs)
        if settings.part:
            mine = owned(items_of_part(settings, inputs, limits, deadline), settings.part) if mine is None else mine
            inputs = [entry for entry in inputs if entry in mine]
        opened = open_inputs(settings, inputs, limits, deadline)
        if mine is not None:
            opened = chosen(opened, mine)
        left = _recover(settings, inputs)
        outcomes = Outcomes(report)
        numbers = {entry: number for number, entry in enumerate(inputs, 1)}
        with PeakMemory(engine.processes) as memory:
            alone = len(inputs) == 1
            solos = engine.solos(math.ceil(limits.cpus))
            means = Means(settings=settings, limits=limits, engine=engine, solos=solos, report=report, deadline=deadline, memory=memory)
            if not alone:
                solos.prepare("omezarr_proc.build.solo", "omezarr_proc.engine.serial", "omezarr_proc.check.verdict")
            images = Images(settings=settings, means=means, left=left, mine=mine or {}, alone=alone, most=most, outcomes=outcomes)
            with closing(images.together):
                for entry, of_entry in opened:
                    report.at(numbers[entry], len(inputs))
                    images.convert(entry, of_entry)
                    del of_entry  # its metadata are gone before the next one's are read, but for those of small images
                images.together.finish()
        if settings.preview == "thumbnail":
            engine.rest()
        write_beside(settings, outcomes.all)
        return outcomes.all
    finally:
        engine.close()
        if distant:
            from omezarr_proc.tiff.file.ahead import rest

            rest()


def _recover(settings: Settings, inputs: Iterable[Input]) -> set[Path]:
    """Put in order what killed runs have left half done; returns the datasets that still have something hidden."""
    if isinstance(settings.output_dir, Address):  # each is asked for in its turn
        return set()
    tree = tree_for(settings.output_dir, settings.output_layout)
    root = settings.output_layout == "root"
    places = {settings.output_dir if root else settings.output_dir / dataset_path(entry.relative) for entry in inputs}
    folders = sorted({tree.target_of(place).parent for place in places})
    return {left for folder in folders if not first_link(settings.output_dir, folder) for left in tree.recover(folder)}
