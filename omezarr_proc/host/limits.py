"""What memory and CPU this process really has: the smallest of what every source says.

cgroup v2 and v1   limits and use of the own group and of its ancestors, as far as they are visible
Lambda             AWS_LAMBDA_FUNCTION_MEMORY_SIZE, one vCPU per 1769 MB
ECS                the task metadata endpoint v4; it alone knows a task's limit when that lies on a hidden ancestor and cgroup is v2
settings           MEMORY_LIMIT_MB and MAX_WORKERS as upper bounds
machine            psutil; its total is no limit of ours in Lambda and ECS, where it may be the host's

Every source yields `Bound`s, `combine` takes the smallest. Readers never raise: a source that cannot be read says nothing.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from omezarr_proc.host.bounds import Bound, CpuBound
from omezarr_proc.host.cgroups import cgroups, cpu_bounds, memory_bounds

MB = 1 << 20
LAMBDA_MB_PER_CPU = 1769
ECS_TIMEOUT = 1.0  # seconds
ASSUMED_MEMORY = 512 * MB  # Fargate's smallest task: what is assumed in Lambda or ECS when no source tells


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a run may use.

    memory_bytes    all that the container may use: the smallest finite limit
    headroom_bytes  what may be used from now on, including what this process uses already
    memory_source   which source set memory_bytes, for the user
    cpus            how many CPUs' time this process gets; may be a fraction
    cpu_source      which source set cpus
    """

    memory_bytes: int
    headroom_bytes: int
    memory_source: str
    cpus: float
    cpu_source: str


@dataclass(frozen=True)
class Machine:
    """Memory in bytes as psutil sees the machine, and the CPUs that this process may run on.

    `own_bytes` is what this process uses, without the file pages that it maps: a cgroup's working set hardly counts them.
    """

    total_bytes: int
    available_bytes: int
    own_bytes: int
    cpus: int


def read_limits(
    memory_limit_mb: int = 0,
    max_workers: int = 0,
    *,
    environ: Mapping[str, str] = os.environ,
    root: Path = Path("/"),
    machine: Machine | None = None,
) -> Limits:
    """Ask all sources; the settings 0 mean no bound. `root` is where /proc and /sys are looked for, `machine` replaces psutil."""
    machine = machine or read_machine()
    memory: list[Bound] = []
    cpus: list[CpuBound] = [CpuBound("CPU affinity", machine.cpus)]
    for group in cgroups(root):
        memory += memory_bounds(group)
        cpus += cpu_bounds(group)
    memory += lambda_memory(environ)
    cpus += lambda_cpus(environ)
    ecs = ecs_limits(environ)
    memory += ecs_memory(ecs)
    cpus += ecs_cpus(ecs)
    if memory_limit_mb:
        memory.append(Bound("MEMORY_LIMIT_MB", memory_limit_mb * MB, machine.own_bytes))
    if max_workers:
        cpus.append(CpuBound("MAX_WORKERS", max_workers))
    hosted = any(name.startswith(("AWS_LAMBDA_", "ECS_")) for name in environ)
    return combine(memory, cpus, machine, hosted=hosted)


def combine(memory: Iterable[Bound], cpus: Iterable[CpuBound], machine: Machine, *, hosted: bool) -> Limits:
    """Take the smallest limit, the smallest headroom (they need not be of one source) and the smallest CPU share.

    When `hosted` in Lambda or ECS the machine's total is not taken for a limit, since it can be the host's: without any other source
    ASSUMED_MEMORY counts. What the machine has available bounds the headroom everywhere.
    """
    bounds = list(memory)
    if not hosted:
        bounds.append(Bound("memory of the machine", machine.total_bytes, machine.own_bytes))
    elif not any(bound.source != "MEMORY_LIMIT_MB" for bound in bounds):
        bounds.append(Bound("assumed, since no source in this environment tells", ASSUMED_MEMORY, machine.own_bytes))
    smallest = min(bounds, key=lambda bound: bound.limit)
    headroom = min([machine.available_bytes + machine.own_bytes] + [bound.limit - bound.used + machine.own_bytes for bound in bounds])
    cpu = min(cpus, key=lambda bound: bound.cpus)
    return Limits(
        memory_bytes=smallest.limit,
        headroom_bytes=max(0, min(headroom, smallest.limit)),
        memory_source=smallest.source,
        cpus=cpu.cpus,
        cpu_source=cpu.source,
    )


def read_machine() -> Machine:
    """Ask psutil and the scheduler; without /proc the C library, which does not know what is our own."""
    import psutil

    try:
        cpus = len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # not on macOS
        cpus = os.cpu_count() or 1
    try:
        memory = psutil.virtual_memory()
        used = psutil.Process().memory_info()
        return Machine(memory.total, memory.available, used.rss - getattr(used, "shared", 0), cpus)
    except (OSError, psutil.Error):
        page = os.sysconf("SC_PAGE_SIZE")
        return Machine(page * os.sysconf("SC_PHYS_PAGES"), page * os.sysconf("SC_AVPHYS_PAGES"), 0, cpus)


def lambda_memory(environ: Mapping[str, str]) -> Iterator[Bound]:
    """Yield the memory size of the Lambda function that this is, if it is one."""
    size = environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
    if size.isdecimal() and len(size) < 10 and int(size):
        yield Bound("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", int(size) * MB)


def lambda_cpus(environ: Mapping[str, str]) -> Iterator[CpuBound]:
    """Yield the CPU share that goes with the memory size of a Lambda function."""
    for bound in lambda_memory(environ):
        yield CpuBound(bound.source, bound.limit / MB / LAMBDA_MB_PER_CPU)


def ecs_limits(environ: Mapping[str, str]) -> dict[str, Mapping[str, object]]:
    """`Limits` of the container and of the task, as the metadata endpoint v4 answers; empty where there is none or it fails.

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4.html
    """
    address = environ.get("ECS_CONTAINER_METADATA_URI_V4", "")
    if not address.startswith("http://"):
        return {}
    from urllib.request import ProxyHandler, build_opener

    opener = build_opener(ProxyHandler({}))
    found: dict[str, Mapping[str, object]] = {}
    for part, suffix in (("container", ""), ("task", "/task")):
        try:
            with opener.open(address + suffix, timeout=ECS_TIMEOUT) as answer:
                limits = json.loads(answer.read(MB))["Limits"]
            if isinstance(limits, dict):
                found[part] = limits
        except Exception:  # whatever is wrong with the endpoint, the other sources still count
            continue
    return found


def ecs_memory(ecs: Mapping[str, Mapping[str, object]]) -> Iterator[Bound]:
    """Yield the limits of the container and of the task; the endpoint counts in MiB."""
    for part, limits in ecs.items():
        size = limits.get("Memory")
        if isinstance(size, int | float) and size > 0:
            yield Bound(f"ECS {part} limit", int(size) * MB)


def ecs_cpus(ecs: Mapping[str, Mapping[str, object]]) -> Iterator[CpuBound]:
    """Yield the task's share of CPUs. A container's `CPU` is a weight, not a limit."""
    share = ecs.get("task", {}).get("CPU")
    if isinstance(share, int | float) and share > 0:
        yield CpuBound("ECS task limit", float(share))
