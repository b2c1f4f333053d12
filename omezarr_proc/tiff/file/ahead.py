"""What of distant inputs is on its way: blocks that are asked for many at once, in the order in which they will be needed.

A plan says which ranges will be read soon. They are coalesced into blocks, which are fetched ahead of the decoder while they take no more
than ROOM bytes, and let go of when all that was planned of them has been read. What is read without a plan is fetched at once.
"""

import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

from omezarr_proc.plan.memory import AHEAD_BYTES

BLOCK = 1 << 20  # bytes of a request, at most
GAP = 64 << 10  # bytes that are fetched in vain rather than asked about twice
THREADS = 16
PLANS = 64  # of one input; an older one is given up: what was planned and never read must not fill the room

# Fetches the bytes from `start` to before `stop`.
Fetch = Callable[[int, int], memoryview]


class Room:
    """The bytes that blocks of all inputs of a process may take, and do."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._size = size
        self._lock = threading.Lock()

    def take(self, count: int, *, must: bool = False) -> bool:
        """Take room for a block, if there is some, or if there must be; one alone always has it."""
        with self._lock:
            if not must and count > self._left < self._size:
                return False
            self._left -= count
            return True

    def give(self, count: int) -> None:
        """Give it back."""
        with self._lock:
            self._left += count


@lru_cache(maxsize=1)
def threads() -> ThreadPoolExecutor:
    """Who fetches, for all inputs of this process."""
    return ThreadPoolExecutor(THREADS, thread_name_prefix="ahead")


def rest() -> None:
    """Let threads end that have nothing more to fetch; who fetches again gets new ones, and what is at work is finished."""
    threads.cache_clear()


_ROOM = Room(AHEAD_BYTES)


@dataclass(eq=False)
class _Block:
    """A part of the input: of it, `left` bytes are still to be read."""

    start: int
    stop: int
    left: int = 0
    data: "Future[memoryview] | None" = None

    @property
    def size(self) -> int:
        return self.stop - self.start


class _Plan:
    """Blocks by offset, and in the order in which they are wanted."""

    def __init__(self, ranges: Sequence[tuple[int, int]]) -> None:
        spans: list[list[int]] = []
        for start, count in sorted(ranges):
            if spans and start <= spans[-1][1] + GAP:
                spans[-1][1] = max(spans[-1][1], start + count)
            else:
                spans.append([start, start + count])
        self.blocks = [_Block(at, min(at + BLOCK, stop)) for start, stop in spans for at in range(start, stop, BLOCK)]
        self.starts = [block.start for block in self.blocks]
        order: dict[_Block, None] = {}
        for start, count in ranges:
            for block in self.over(start, count):
                block.left += min(block.stop, start + count) - max(block.start, start)
                order[block] = None
        self.waiting = deque(order)

    def over(self, start: int, count: int) -> list[_Block]:
        """The blocks that a range lies in, one behind the other; none where it is not wholly in such."""
        first = last = bisect_right(self.starts, start) - 1
        if first < 0:
            return []
        while self.blocks[last].stop < start + count:
            last += 1
            if last == len(self.blocks) or self.blocks[last].start != self.blocks[last - 1].stop:
                return []
        return self.blocks[first : last + 1]


class Ahead:
    """The blocks of one input. Used by one thread."""

    def __init__(self, fetch: Fetch, room: Room = _ROOM) -> None:
        self._fetch, self._room = fetch, room
        self._plans: deque[_Plan] = deque()

    def plan(self, ranges: Sequence[tuple[int, int]]) -> None:
        """These ranges (offset, count) will be read soon, in this order, each once."""
        self._plans.append(_Plan(ranges))
        while len(self._plans) > PLANS:
            self._drop(self._plans.popleft())
        self._go_on()

    def has(self, start: int, count: int) -> bool:
        """Whether a range is planned."""
        return any(plan.over(start, count) for plan in self._plans)

    def read(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """The bytes of each range; what is not planned is fetched now, all of it together. Raises what fetching raises."""
        rest = _Plan([one for one in ranges if not self.has(*one)])
        found = [next(blocks for plan in (*self._plans, rest) if (blocks := plan.over(*one))) for one in ranges]
        for blocks in found:
            for block in blocks:
                self._start(block, must=True)
        try:
            return [self._taken(start, count, blocks) for (start, count), blocks in zip(ranges, found, strict=True)]
        finally:
            self._drop(rest)
            self._go_on()

    def close(self) -> None:
        """Give up all plans."""
        while self._plans:
            self._drop(self._plans.popleft())

    def _taken(self, start: int, count: int, blocks: Sequence[_Block]) -> bytes:
        parts = []
        for block in blocks:
            begin, end = max(start, block.start), min(start + count, block.stop)
            data = self._start(block, must=True)
            assert data is not None  # since it must
            parts.append(data.result()[begin - block.start : end - block.start])
            block.left -= end - begin
        for block in blocks:
            if block.left <= 0:
                self._let_go(block)
        return bytes(parts[0]) if len(parts) == 1 else b"".join(parts)

    def _go_on(self) -> None:
        """Fetch what comes next as far as there is room, and forget what has been read."""
        for plan in [plan for plan in self._plans if not any(block.left > 0 for block in plan.blocks)]:
            self._plans.remove(plan)
            self._drop(plan)
        for plan in self._plans:
            while plan.waiting:
                if plan.waiting[0].left > 0 and not self._start(plan.waiting[0]):
                    return
                plan.waiting.popleft()

    def _start(self, block: _Block, *, must: bool = False) -> "Future[memoryview] | None":
        """What is to come of a block; None where there is no room for it."""
        if block.data is None and self._room.take(block.size, must=must):
            block.data = threads().submit(self._fetch, block.start, block.stop)
        return block.data

    def _let_go(self, block: _Block) -> None:
        if block.data is not None:
            block.data.cancel()
            block.data = None
            self._room.give(block.size)

    def _drop(self, plan: _Plan) -> None:
        for block in plan.blocks:
            self._let_go(block)
