"""How long this process goes on asking an object store that fails.

A store is waited for in vain once: for a minute each request is tried for a second at most then, until one of them is answered. So a run
ends as soon as it is known that nobody answers, and not after as many waits as it still had requests to make.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from omezarr_proc.model.address import Address


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a request that fails is made again: so many `times` by the client itself, for so many `seconds` at most.

    Where a connection breaks off in an answer, or before one to a POST, `ask` makes it again: every request here bears being made twice.
    """

    times: int = 60
    seconds: float = 90.0


BRIEFLY = Patience(times=1, seconds=1.0)  # what fails at once is told from what breaks off by the client's second try
_patience = [Patience()]  # the last one counts
_FORGOTTEN_SECONDS = 60.0  # a process that goes on, as that of a Lambda function, may find it there again
_in_vain: dict[Address, float] = {}  # buckets, containers and hosts, and when they were given up last, as time.monotonic() counts


@contextmanager
def patient_as(patience: Patience) -> Iterator[None]:
    """Within, this process, and the workers that are forked from it, ask stores again as this says."""
    _patience.append(patience)
    try:
        yield
    finally:
        _patience.remove(patience)


def patience_with(root: Address) -> Patience:
    """What a request to a bucket, container or host is given."""
    return BRIEFLY if time.monotonic() < _in_vain.get(root, -math.inf) + _FORGOTTEN_SECONDS else _patience[-1]


def give_up(root: Address) -> None:
    """It was waited for in vain, by this process or one of its workers."""
    _in_vain[root] = time.monotonic()


def has_answered(root: Address) -> None:
    """It answers, be it with a refusal."""
    _in_vain.pop(root, None)
