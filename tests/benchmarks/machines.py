"""What 1, 16, 256 and 4,096 machines do with one huge slide and with many slides: on paper, from costs that were measured on one.

PYTHONPATH=tests/helpers python -m tests.benchmarks.machines

How a batch is cut is the program's own code; how long a share takes is its work by `Costs`. Not in it: how long machines take to be there,
storage that is slower with many readers, and what goes wrong. docs/many.md has what it prints.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from heapq import heapify, heapreplace

from pyramids import picture, pyramid

from omezarr_proc.app.cluster.waiting import share_count
from omezarr_proc.plan.shares import IMAGE_BYTES, Shared, Weight, cut_batch, weight_of

MACHINES = (1, 16, 256, 4096)


@dataclass(frozen=True)
class Costs:
    """Of a machine, in seconds and bytes of pixels of all levels; the first three are of CPU.

    start     a part or a share before and after its work
    opening   an OME-TIFF's headers read and its dataset planned
    rate      bytes of pixels a second on one CPU: a JPEG slide of 60000 x 40000 (2.4 GB of levels) takes 90 s
    latency   of storage, for each input that is opened; assumed
    cpus      of a machine
    hour      dollars for a CPU with 2 GB; Fargate's list price
    put       dollars for an object; S3's list price
    """

    start: float = 0.4
    opening: float = 0.0013
    rate: float = 27e6
    latency: float = 0.02
    cpus: int = 4
    hour: float = 0.0405 + 2 * 0.0044
    put: float = 5e-6


@dataclass(frozen=True)
class Run:
    """Seconds until all is published, and of these: inputs opened, work, and what the last one makes alone; CPU seconds in all."""

    opened: float
    worked: float
    alone: float
    cpu: float

    @property
    def wall(self) -> float:
        return self.opened + self.worked + self.alone


def work_of(weight: Weight, shared: Shared) -> list[tuple[int, int]]:
    """Parts and the bytes that each makes of an image."""
    if shared.cut is None:
        return [(shared.pieces[0].part, weight.work)]
    ends = [0, *shared.cut.ends()]
    return [(piece.part, weight.work * (ends[piece.stop] - ends[piece.start]) // ends[-1]) for piece in shared.pieces]


def shares_of(weights: Sequence[Weight], parts: int) -> tuple[list[int], list[int], float]:
    """What each part makes, of how many images, and what of the largest cut image is left to the last one."""
    work, images, left = [0] * parts, [0] * parts, 0.0
    for weight, shared in zip(weights, cut_batch(weights, parts), strict=True):
        for part, size in work_of(weight, shared):
            work[part - 1] += size
            images[part - 1] += 1
        if shared.cut:
            left = max(left, weight.work / 4 ** (shared.cut.last + 1))
    return work, images, left


def in_parts(weights: Sequence[Weight], machines: int, costs: Costs) -> Run:
    """PART: each opens all inputs."""
    work, _, left = shares_of(weights, machines)
    opened = len(weights) * (costs.opening + costs.latency)
    cpu = machines * (costs.start + len(weights) * costs.opening) + (sum(work) + left) / costs.rate
    return Run(opened, costs.start + max(work) / costs.rate / costs.cpus, left / costs.rate / costs.cpus, cpu)


def on_cluster(weights: Sequence[Weight], machines: int, costs: Costs) -> Run:
    """CLUSTER: one opens all inputs, then workers take shares, and open what is theirs."""
    work, images, left = shares_of(weights, share_count(sum(weight.work for weight in weights), [costs.cpus] * machines))
    free = [0.0] * machines
    heapify(free)
    for size, own in zip(work, images, strict=True):
        heapreplace(free, free[0] + costs.start + own * (costs.opening + costs.latency) + size / costs.rate / costs.cpus)
    cpu = len(work) * costs.start + 2 * len(weights) * costs.opening + (sum(work) + left) / costs.rate
    return Run(len(weights) * (costs.opening + costs.latency), max(free), left / costs.rate / costs.cpus, cpu)


def main() -> None:
    """Print the tables."""
    costs = Costs()
    whole = picture(100_000, 100_000, c=3, samples=3)
    huge = replace(whole, layouts=(replace(whole.layouts[0], segment_height=256, segment_width=256),))
    slide = Weight(IMAGE_BYTES + int(2.4e9))
    batches = {
        "one slide of 100,000 x 100,000": [weight_of(huge, pyramid(huge, d=2, tile=256, least=256, bundled=True))],
        "10,000 slides of 2.4 gigapixels": [slide] * 10_000,
        "a million slides of 2.4 gigapixels": [slide] * 1_000_000,
    }
    print("| batch | machines | way | opening | work | alone | in all | CPU hours |\n|---|---|---|---|---|---|---|---|")
    for name, weights in batches.items():
        for machines in MACHINES:
            for way, run in (("PART", in_parts(weights, machines, costs)), ("CLUSTER", on_cluster(weights, machines, costs))):
                times = " | ".join(f"{seconds:,.0f} s" for seconds in (run.opened, run.worked, run.alone, run.wall))
                print(f"| {name} | {machines} | {way} | {times} | {run.cpu / 3600:,.2f} |")
    cpu = 1000 * slide.work / costs.rate / 3600 * costs.hour
    print(f"\na thousand slides: ${cpu:.2f} of CPU and memory, ${1000 * 604 * costs.put:.2f} for objects in shards, ", end="")
    print(f"${1000 * 12_489 * costs.put:.2f} in chunks")


if __name__ == "__main__":
    main()
