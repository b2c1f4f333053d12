"""What the control groups of this process allow and use, in cgroup v2 and v1. Readers never raise: what cannot be read says nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from omezarr_proc.host.bounds import Bound, CpuBound

UNLIMITED = 1 << 60  # cgroup v1 writes 2^63 rounded down to a page for "no limit"


@dataclass(frozen=True)
class Group:
    """A cgroup directory that is visible here: where, which hierarchy (1 or 2), which controllers it may have."""

    path: Path
    version: int
    controllers: frozenset[str]


def cgroups(root: Path) -> Iterator[Group]:
    """Yield the own groups of this process and their visible ancestors, up to each mount point.

    A container without a cgroup namespace reads a path in /proc/self/cgroup that is not below its mount: the mount point then is the
    own group, or mountinfo's root field says which part of the path is cut off. Some sandboxes show the files without any mount.
    """
    own = dict(_own_groups(root))
    found = False
    for mount in _read(root / "proc/self/mountinfo").splitlines():
        left, _, right = mount.partition(" - ")
        where, what = left.split(), right.split()
        if len(where) < 5 or len(what) < 3 or what[0] not in ("cgroup", "cgroup2"):
            continue
        version = 2 if what[0] == "cgroup2" else 1
        options = what[2].split(",")
        controllers = frozenset({"memory", "cpu"} if version == 2 else {"memory", "cpu"}.intersection(options))
        path = own.get("", "/") if version == 2 else next((own[name] for name in options if name in own), "/")
        if not controllers:
            continue
        mount_point = root / _unescape(where[4]).lstrip("/")
        if not mount_point.is_dir():  # hidden by another mount, or a single file
            continue
        for directory in _lineage(mount_point, _unescape(where[3]), path):
            found = True
            yield Group(directory, version, controllers)
    if not found:
        yield from _without_mounts(root)


def memory_bounds(group: Group) -> Iterator[Bound]:
    """Limits of a group, with what the kernel cannot drop as use.

    Page cache is dropped before anything is killed, the active part of it too, and so are reclaimable slabs (dentries, inodes). Only what
    processes have mapped (libraries; shared memory, which is counted with it) is needed again at once, so it is no free memory.
    """
    if "memory" not in group.controllers:
        return
    numbers = _numbers(group.path / "memory.stat")
    if group.version == 2:
        usage, free = _number(group.path / "memory.current") or 0, _cache(numbers, "", "file_mapped") + numbers.get("slab_reclaimable", 0)
        limits = {name: _number(group.path / name) for name in ("memory.max", "memory.high")}
    else:
        usage = _number(group.path / "memory.usage_in_bytes") or 0
        free = _cache(numbers, "total_" if "total_inactive_file" in numbers else "", "mapped_file")
        limits = {"memory.limit_in_bytes": _number(group.path / "memory.limit_in_bytes")}
    if (hierarchical := numbers.get("hierarchical_memory_limit", UNLIMITED)) < UNLIMITED:
        limits["memory.stat hierarchical_memory_limit"] = hierarchical
    for name, limit in limits.items():
        if limit is not None:
            yield Bound(f"cgroup v{group.version} {name}", limit, max(0, usage - free))


def _cache(numbers: dict[str, int], prefix: str, mapped: str) -> int:
    """Bytes of page cache that can be dropped, of a group's memory.stat."""
    inactive, active = numbers.get(f"{prefix}inactive_file", 0), numbers.get(f"{prefix}active_file", 0)
    return inactive + max(0, active - numbers.get(f"{prefix}{mapped}", 0))


def cpu_bounds(group: Group) -> Iterator[CpuBound]:
    """Yield the CPU quota of a group, where it has one."""
    if "cpu" not in group.controllers:
        return
    if group.version == 2:
        source, words = "cgroup v2 cpu.max", _read(group.path / "cpu.max").split()
    else:
        source, words = "cgroup v1 cpu.cfs_quota_us", [_read(group.path / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
    if len(words) == 2 and all(_is_number(word) and int(word) for word in words):
        yield CpuBound(source, int(words[0]) / int(words[1]))


def _own_groups(root: Path) -> Iterator[tuple[str, str]]:
    """Yield (controller, path) of each line of /proc/self/cgroup; the controller is empty for cgroup v2."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        for controller in controllers.split(","):
            yield controller, path


def _lineage(mount: Path, mounted: str, path: str) -> Iterator[Path]:
    """From the own group's directory up to the mount point. `mounted` is the part of the hierarchy that `mount` shows."""
    below = PurePosixPath(path)
    if below.is_relative_to(mounted):
        below = below.relative_to(mounted)
    parts = [part for part in below.parts if part != "/"]
    directory = mount.joinpath(*parts)
    if ".." in parts or not directory.is_dir():
        directory = mount
    yield directory
    while directory != mount:
        directory = directory.parent
        yield directory


def _without_mounts(root: Path) -> Iterator[Group]:
    base = root / "sys/fs/cgroup"
    if (base / "cgroup.controllers").exists():
        yield Group(base, 2, frozenset({"memory", "cpu"}))
    for name in ("memory", "cpu", "cpu,cpuacct"):
        if (base / name).is_dir():
            yield Group(base / name, 1, frozenset({"memory", "cpu"}))


def _unescape(text: str) -> str:
    """Undo how mountinfo writes blanks and backslashes as octal escapes."""
    for character in " \t\n\\":
        text = text.replace(f"\\{ord(character):03o}", character)
    return text


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="surrogateescape")
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    """Read a file's number; None where there is none, or it stands for "no limit"."""
    text = _read(path).strip()
    return int(text) if _is_number(text) and int(text) < UNLIMITED else None


def _numbers(path: Path) -> dict[str, int]:
    words = (line.split() for line in _read(path).splitlines())
    return {pair[0]: int(pair[1]) for pair in words if len(pair) == 2 and _is_number(pair[1])}


def _is_number(text: str) -> bool:
    return text.isdecimal() and len(text) < 20
