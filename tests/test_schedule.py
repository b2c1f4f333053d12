"""The order of tasks: everything exactly once, nothing before what it needs, slots never shared."""

import random
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from omezarr_proc.engine.local.schedule import Schedule, load_parts
from omezarr_proc.model.image import Rect
from omezarr_proc.model.pyramid import Band, Pass, bands, make_levels
from omezarr_proc.work.tasks import Load, Task, Whole, Write

TILE = 64


def play(schedule: Schedule, workers: int, seed: int) -> Iterator[tuple[str, Task]]:
    """Work the schedule with workers that answer in random order."""
    rng = random.Random(seed)
    busy: list[tuple[int, Task]] = []
    unstored: list[Write | Whole] = []
    while True:
        for worker in range(workers):
            if sum(w == worker for w, _ in busy) < 2 and (task := schedule.next(worker)):
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
                yield "stored", Whole(schedule.stage, 0, complete)


@given(
    st.integers(1, 700),
    st.integers(1, 700),
    st.integers(0, 2),
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(0, 3),
    st.integers(0, 999),
)
def test_every_tile_is_loaded_then_written_once(
    height: int, width: int, steps: int, slots: int, workers: int, whole: int, seed: int
) -> None:
    levels = make_levels(height, width, 1, steps + 1, 1)
    stage = Pass(None, 1, 0, len(levels) - 1, TILE << (len(levels) - 1), 2 * TILE << (len(levels) - 1))
    todo = list(bands(stage, levels[0], 2))
    schedule = Schedule(stage, iter(todo), list(range(slots)), TILE, lambda band: load_parts(band, 1, 16, 16, 4096), 3, whole)
    open_slots: dict[int, Band] = {}
    loaded: dict[Band, list[Rect]] = {}
    ended: dict[tuple[Band, int], int] = {}
    stored: list[Band] = []
    for event, task in play(schedule, workers, seed):
        if event == "stored":
            assert isinstance(task, Whole)
            assert all(band in loaded and band not in open_slots.values() for band in task.bands)
            stored += task.bands
            continue
        assert isinstance(task, (Load, Write, Whole))
        if event == "start":
            first = task.band if isinstance(task, Load) else task.bands[0]
            assert open_slots.setdefault(task.slot, first) == first, "two bands in one slot"
        if isinstance(task, Whole):
            assert 1 <= len(task.bands) <= whole
            if event == "end":
                for band in task.bands:
                    assert band not in loaded
                    loaded[band] = [band.rect]
                del open_slots[task.slot]
        elif isinstance(task, Load):
            assert (task.band, 0) not in ended
            if event == "end":
                loaded.setdefault(task.band, []).append(task.rect)
        else:
            rect = task.band.at(task.step)
            tiles = -(-rect.height // TILE) * -(-rect.width // TILE)
            if event == "start":
                below = task.band.at(task.step - 1) if task.step else task.band.rect
                needed = sum(r.height * r.width for r in loaded[task.band]) if task.step == 0 else ended[task.band, task.step - 1]
                assert needed == (rect.height * rect.width if task.step == 0 else -(-below.height // TILE) * -(-below.width // TILE))
            else:
                ended[task.band, task.step] = ended.get((task.band, task.step), 0) + task.tiles.height * task.tiles.width
                if task.step == stage.last and ended[task.band, task.step] == tiles:
                    del open_slots[task.slot]
    assert schedule.finished and not open_slots
    assert sorted(loaded, key=str) == sorted(stored, key=str) == sorted(todo, key=str)
    for band, rects in loaded.items():
        assert sum(r.height * r.width for r in rects) == band.rect.height * band.rect.width


@given(
    st.integers(0, 500),
    st.integers(1, 500),
    st.integers(0, 500),
    st.integers(1, 500),
    st.integers(0, 40),
    st.integers(0, 40),
    st.integers(1, 9000),
)
def test_loads_cover_a_band_once_and_cut_only_at_lines(y: int, h: int, x: int, w: int, rows: int, columns: int, pixels: int) -> None:
    band = Band(0, Rect(y, y + h, x, x + w))
    seen = set()
    for rect in load_parts(band, 2, rows, columns, pixels):
        for cut, step, end in ((rect.y0, rows, y), (rect.x0, columns, x)):
            assert cut == end or (step and cut % step == 0)
        cells = {(r, c) for r in range(rect.y0, rect.y1) for c in range(rect.x0, rect.x1)}
        assert not cells & seen
        seen |= cells
    assert len(seen) == h * w


def test_a_stream_stays_with_the_worker_that_began_it() -> None:
    levels = make_levels(640, 64, 1, 1, 1)
    stage = Pass(None, 1, 0, 0, TILE, TILE)
    schedule = Schedule(stage, bands(stage, levels[0], 2), [0, 1, 2], TILE, lambda band: [band.rect], 4, sticky=True)
    first = schedule.next("a")
    assert isinstance(first, Load) and first.band.frame == 0
    assert schedule.next("b") is None, "the second band of the frame belongs to a"
    second = schedule.next("a")
    assert isinstance(second, Load) and second.band.rect.y0 == TILE


def test_no_bands_is_finished_at_once() -> None:
    stage = Pass(None, 1, 0, 0, TILE, TILE)
    schedule = Schedule(stage, iter(()), [0], TILE, lambda band: [band.rect], 4)
    assert schedule.next("a") is None and schedule.finished
