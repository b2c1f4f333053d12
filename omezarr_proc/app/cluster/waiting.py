"""Into how many shares a batch is cut for a cluster, and which of them is given out next. Pure."""

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

# A share should take some tens of seconds: that is lost with a death, and 0.4 s of CPU with each share. Bytes of pixels, for each thread.
SHARE_BYTES = 1 << 30
# So that no worker waits long for the last one. But smaller shares than these take longer to begin than to make.
A_WORKER = 3
WORTH_BYTES = 128 << 20
MOST_SHARES = 100_000
# How often a share may be lost with its worker, and for how many seconds it may be in somebody else's hands before it is given up.
MOST_DEATHS = 3
PATIENCE = 300.0
PAUSE = 5.0


def share_count(work: int, threads: Iterable[int]) -> int:
    """Into how many shares so many bytes of pixels are cut; `threads`: of each worker."""
    of_workers = list(threads)
    wanted = work // (SHARE_BYTES * max(1, sum(of_workers) // len(of_workers)))
    return max(1, min(MOST_SHARES, max(wanted, min(A_WORKER * len(of_workers), work // WORTH_BYTES))))


@dataclass
class Waiting:
    """The shares that nobody works on, by their numbers. `now`: seconds, of a clock that only goes forwards."""

    shares: deque[int]
    deaths: Counter[int] = field(default_factory=Counter)
    _later: list[tuple[float, int]] = field(default_factory=list)
    _since: dict[int, float] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.shares or self._later)

    def take(self, now: float) -> int | None:
        """The next one to be given out; None where there is none, or none yet."""
        if self.shares:
            return self.shares.popleft()
        if self._later and self._later[0][0] <= now:
            return self._later.pop(0)[1]
        return None

    def died(self, share: int) -> bool:
        """A worker was lost with it: it comes first, unless (False) that has happened too often."""
        self.deaths[share] += 1
        if self.deaths[share] < MOST_DEATHS:
            self.shares.appendleft(share)
            return True
        return False

    def in_use(self, share: int, now: float) -> bool:
        """Somebody else works on it: it comes again after a while, unless (False) that has been so for too long."""
        if now - self._since.setdefault(share, now) > PATIENCE:
            return False
        self._later.append((now + PAUSE, share))
        return True

    def give_up(self) -> list[int]:
        """All that are left, which nobody gets any more."""
        left = [*self.shares, *(share for _, share in self._later)]
        self.shares.clear()
        self._later.clear()
        return left
