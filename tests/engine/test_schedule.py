"""The order of tasks: everything exactly once, nothing before what it needs, slots never shared."""

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyramids import picture, pyramid

from omezarr_proc.engine.local.schedule import Schedule, load_parts
from omezarr_proc.model.region import Index, Region
from omezarr_proc.model.shards import sharded
from omezarr_proc.plan.passes import Pass, at, bands, first_passes
from omezarr_proc.work.tasks import Load, Make, Seal, Storing, Task, Write

TILE = 64
ONCE = (1, 1, 1, 1, 1)


def play(schedule: Schedule, workers: int, seed: int) -> Iterator[tuple[str, Task]]:
    """Work the schedule with workers that answer in random order."""
    rng = random.Random(seed)
    busy: list[tuple[int, Task]] = []
    unstored: list[Storing] = []
    while True:
        for worker in range(workers):
            held = sum(w == worker for w, _ in busy)
            if held < 2 and (task := schedule.next(worker, idle=not held)):
                busy.append((worker, task))
                yield "start", task
        if not busy:
            return
        first = rng.choice(busy)[0]  # each worker answers its tasks in order
        _, task = busy.pop(next(i for i, (worker, _) in enumerate(busy) if worker == first))
        yield "end", task
        schedule.done(task)
        unstored += [] if isinstance(task, Load) else [task]
        while unstored and (rng.random() < 0.5 or not busy):
            if complete := schedule.stored(unstored.pop(rng.randrange(len(unstored)))):
                yield "stored", Make(schedule.pass_, 0, complete)


@given(
    st.integers(1, 700),
    st.integers(1, 700),
    st.integers(0, 2),
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(0, 3),
    st.booleans(),
    st.integers(0, 999),
)
def test_every_tile_is_loaded_then_written_once(
    height: int, width: int, steps: int, slots: int, workers: int, whole: int, far: bool, seed: int
) -> None:
    p = pyramid(picture(height, width, c=2), most=steps + 1, tile=TILE)
    last = len(p.levels) - 1
    pass_ = Pass(None, ONCE, 0, last, (1, 1, 1, TILE << last, 2 * TILE << last))
    todo = list(bands(pass_, p))
    schedule = Schedule(
        pyramid=p,
        pass_=pass_,
        bands=iter(todo),
        slots=list(range(slots)),
        parts=lambda band: load_parts(pass_, band, (1, 16, 16), 4096),
        batch=3,
        together=whole,
        promised_to=tuple(range(workers)) if far else (),
    )
    open_slots: dict[int, Region] = {}
    loaded: dict[Region, list[Region]] = {}
    ended: dict[tuple[Region, int], list[Index]] = {}
    stored: list[Region] = []
    for event, task in play(schedule, workers, seed):
        if event == "stored":
            assert isinstance(task, Make)
            assert all(band in loaded and band not in open_slots.values() for band in task.bands)
            stored += task.bands
            continue
        assert isinstance(task, (Load, Write, Make))
        if event == "start":
            first = task.band if isinstance(task, Load) else task.bands[0]
            assert open_slots.setdefault(task.slot, first) == first, "two bands in one slot"
        if isinstance(task, Make):
            assert 1 <= len(task.bands) <= whole
            if event == "end":
                for band in task.bands:
                    assert band not in loaded
                    loaded[band] = [band]
                del open_slots[task.slot]
        elif isinstance(task, Load):
            assert (task.band, 0) not in ended
            if event == "end":
                loaded.setdefault(task.band, []).append(task.part)
        else:
            chunks = {step: at(p, pass_, task.band, step).divided(p.levels[step].chunk) for step in pass_.steps}
            if event == "start":
                if task.step == 0:
                    assert sum(part.size for part in loaded[task.band]) == task.band.size
                else:
                    assert len(ended[task.band, task.step - 1]) == chunks[task.step - 1].size
            else:
                ended.setdefault((task.band, task.step), []).extend(task.chunks.indices())
                if task.step == pass_.last and len(ended[task.band, task.step]) == chunks[task.step].size:
                    del open_slots[task.slot]
    assert schedule.finished and not open_slots
    assert sorted(loaded, key=str) == sorted(stored, key=str) == sorted(todo, key=str)
    for band, parts in loaded.items():
        assert sum(part.size for part in parts) == band.size
    for (band, step), places in ended.items():
        assert sorted(places) == sorted(at(p, pass_, band, step).divided(p.levels[step].chunk).indices())


@given(st.integers(1, 900), st.integers(1, 900), st.integers(1, 3), st.integers(1, 4), st.booleans(), st.integers(0, 999))
def test_shards_are_sealed_once_after_their_chunks_and_hold_their_slot(
    height: int, width: int, slots: int, workers: int, whole: bool, seed: int
) -> None:
    image = picture(height, width, c=2)
    p = sharded(pyramid(image, tile=16), image)
    pass_ = min(first_passes(image, p, ("rows",)), key=lambda first: (first.slot_bytes, -first.pass_.last)).pass_
    todo = list(bands(pass_, p))
    schedule = Schedule(
        pyramid=p, pass_=pass_, bands=iter(todo), slots=list(range(slots)), parts=lambda band: [band], batch=3, together=int(whole)
    )
    encoded: dict[int, list[Index]] = {}
    sealed: dict[int, list[Index]] = {}
    taken: dict[int, Region] = {}
    for event, task in play(schedule, workers, seed):
        assert isinstance(task, (Load, Write, Seal, Make))
        if event == "stored":
            assert isinstance(task, Make)
            taken = {slot: band for slot, band in taken.items() if band not in task.bands}
            continue
        band = task.band if isinstance(task, Load) else task.bands[0]
        assert taken.setdefault(task.slot, band) == band, "a slot is used again before what is stored out of it is written"
        if event == "end" and isinstance(task, Write):
            encoded.setdefault(task.step, []).extend(task.chunks.indices())
        elif event == "start" and isinstance(task, Seal):
            level = p.levels[task.step]
            assert set(task.objects.scaled(level.shard).clipped(level.grid.shape).indices()) <= set(encoded[task.step])
            sealed.setdefault(task.step, []).extend(task.objects.indices())
    assert schedule.finished and not taken and sorted(schedule.slots) == list(range(slots))
    if not whole:
        for step in pass_.steps:
            level = p.levels[step]
            assert sorted(encoded[step]) == sorted(level.grid.indices())
            assert sorted(sealed.get(step, [])) == (sorted(level.objects.indices()) if level.sharded else [])


@given(
    st.integers(0, 500),
    st.integers(1, 500),
    st.integers(0, 500),
    st.integers(1, 500),
    st.integers(0, 40),
    st.integers(0, 40),
    st.integers(1, 9000),
    st.integers(0, 6),
    st.integers(1, 5),
    st.integers(0, 3),
    st.sampled_from((1, 2)),
)
def test_loads_cover_a_band_once_and_cut_only_at_lines(
    y: int, h: int, x: int, w: int, rows: int, columns: int, pixels: int, z: int, deep: int, planes: int, dz: int
) -> None:
    band = Region((1, 3, z, y, x), (2, 6, z + deep, y + h, x + w))
    pass_ = Pass(None, (1, 1, dz, 2, 2), 0, 0, (1, 3, deep, h, w))
    area = 0
    parts = load_parts(pass_, band, (planes, rows, columns), pixels)
    for part in parts:
        assert (part.start[:2], part.stop[:2]) == (band.start[:2], band.stop[:2])
        for cut, step, end in ((part.start[2], planes, z), (part.start[3], rows, y), (part.start[4], columns, x)):
            assert cut == end or (step and cut % step == 0)
        area += part.size
    for axis in (2, 3, 4):  # a grid of cuts: what has the size of the band and begins at its own places covers it once
        seen = {(part.start[axis], part.stop[axis]) for part in parts}
        assert all(a[1] == b[0] for a, b in pairwise(sorted(seen)))
    assert len({part.start for part in parts}) == len(parts)
    assert area == band.size


@pytest.mark.parametrize(("lines", "dz", "height"), [
    ((1, 24, 0), 1, 384),  # strips of 48 rows; 384 holds whole ones, and whole blocks
    ((1, 24, 128), 1, 384),  # tiles of 48 x 256
    ((1, 24, 120), 1, 48),  # of 48 x 240, which cut blocks anyway
    ((1, 24, 0), 2, 24),  # two planes are one of the level, and 384 rows of them too much
])  # fmt: skip
def test_loads_hold_whole_blocks_where_these_can_be_hashed(lines: tuple[int, int, int], dz: int, height: int) -> None:
    band = Region((0, 0, 0, 0, 0), (1, 1, 1, 1024, 480))
    parts = load_parts(Pass(None, (1, 1, dz, 2, 2), 0, 0, (1, 1, 1, 1024, 480)), band, lines, 100_000, 256)
    assert {part.start[3] % height for part in parts} == {0}
    assert min(part.stop[3] for part in parts) == height


def test_a_stream_stays_with_the_worker_that_began_it() -> None:
    p = pyramid(picture(640, 64, c=2), most=1, tile=TILE)
    pass_ = Pass(None, ONCE, 0, 0, (1, 1, 1, TILE, TILE))
    schedule = Schedule(pyramid=p, pass_=pass_, bands=bands(pass_, p), slots=[0, 1, 2], parts=lambda band: [band], batch=4, sticky=True)
    first = schedule.next("a")
    assert isinstance(first, Load) and first.band.start == (0, 0, 0, 0, 0)
    assert schedule.next("b") is None, "the second band of the frame belongs to a"
    second = schedule.next("a")
    assert isinstance(second, Load) and second.band.start == (0, 0, 0, TILE, 0)


@pytest.mark.parametrize("together", [0, 2])
def test_loads_of_a_far_source_go_to_whom_they_were_promised_before(together: int) -> None:
    p = pyramid(picture(1280, 128, c=2), most=1, tile=TILE)
    pass_ = Pass(None, ONCE, 0, 0, (1, 1, 1, TILE, 2 * TILE))
    schedule = Schedule(
        pyramid=p,
        pass_=pass_,
        bands=bands(pass_, p),
        slots=[0, 1, 2, 3, 4, 5],
        parts=lambda band: load_parts(pass_, band, (1, 16, 16), 1024),
        batch=4,
        together=together,
        promised_to=("a", "b"),
    )
    promised: dict[object, list[Load | Make]] = {"a": [], "b": []}

    def given(worker: str, idle: bool = False) -> Load | Make:
        task = schedule.next(worker, idle)
        for whom, loads in schedule.promises():
            promised[whom] += loads
        assert isinstance(task, Load | Make)
        return replace(task, slot=-1)

    for _ in range(3):
        for worker in ("a", "b"):
            task = given(worker)
            assert task == promised[worker].pop(0)
            if isinstance(task, Load):
                assert promised[worker][0].band.start[3] in (task.band.start[3], task.band.start[3] + TILE), "neighbours in the source"
    assert len(promised["a"]) + len(promised["b"]) >= 8, "far enough ahead"
    while promised["a"] and schedule.slots:
        assert given("a") == promised["a"].pop(0)
    if not together:
        return
    schedule.slots += range(6, 40)
    while promised["a"]:
        assert given("a") == promised["a"].pop(0)
    assert schedule.next("a") is None
    assert given("a", idle=True) == promised["b"][-1], "one who has nothing to do is given the last of what is the other's"


def test_no_bands_is_finished_at_once() -> None:
    pass_ = Pass(None, ONCE, 0, 0, (1, 1, 1, TILE, TILE))
    schedule = Schedule(pyramid=pyramid(picture(TILE, TILE)), pass_=pass_, bands=iter(()), slots=[0], parts=lambda band: [band], batch=4)
    assert schedule.next("a") is None and schedule.finished
