"""What one source says of memory and CPU."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Bound:
    """One source's statement: no more memory than `limit` in all, of which `used` is in use by whomever (this process included)."""

    source: str
    limit: int
    used: int = 0


@dataclass(frozen=True)
class CpuBound:
    """One source's statement: no more CPU time than that of so many CPUs."""

    source: str
    cpus: float
