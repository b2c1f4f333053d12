"""Progress: lines at the right moments, a bar that logs do not tear, a table that tells all."""

import io
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loaded import load_settings
from loguru import logger

from omezarr_proc.app import log
from omezarr_proc.app.progress import BarReport, LineReport, make_report
from omezarr_proc.app.report import Report
from omezarr_proc.app.results import Results
from omezarr_proc.model.errors import InputError
from omezarr_proc.model.events import Advice, Begun, Summary
from omezarr_proc.model.text import duration, quantity

SETTINGS = load_settings({"INPUT_DIR": "in", "OUTPUT_DIR": "out"}, {})
DONE = Summary(
    name="a.ome.zarr",
    shape=(3, 8192, 8192),
    levels=6,
    chunks=1365,
    stored_bytes=110_000_000,
    seconds=2.0,
    pixels=268_435_456,
    peak_bytes=180_000_000,
)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def lines() -> Iterator[list[str]]:
    written: list[str] = []
    log.configure(SETTINGS, lambda text: written.append(text[9:].rstrip("\n")))
    yield written
    log.close()


def run(seconds: float, steps: int) -> LineReport:
    clock = Clock()
    report = LineReport(clock)
    report.start("a.tif", 1000 * steps)
    for _ in range(steps):
        clock.now += seconds / steps
        report.advance(1000)
    return report


def test_lines_every_five_percent_with_rate_and_remaining_time(lines: list[str]):
    run(seconds=100, steps=1000)
    percents = [int(line.split()[1]) for line in lines]
    assert percents == list(range(5, 101, 5))
    assert lines[4] == "a.tif: 25 % of 1 Mpx, 10 kpx/s, 1:15 left"


def test_what_an_earlier_run_has_done_counts_in_the_percents_but_not_in_the_rate(lines: list[str]):
    clock = Clock()
    report = LineReport(clock)
    report.start("a.tif", 1_000_000, done=600_000)
    clock.now += 10
    report.advance(200_000)
    assert lines == ["a.tif: 80 % of 1 Mpx, 20 kpx/s, 10.0 s left"]


def test_a_line_after_thirty_seconds_at_the_latest(lines: list[str]):
    run(seconds=1000, steps=1000)
    assert len(lines) == pytest.approx(1000 / 30, abs=2)


def test_small_images_say_nothing_in_between(lines: list[str]):
    run(seconds=0.9, steps=100)
    assert lines == []


@hypothesis.settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 500), st.floats(0, 100)), max_size=60), st.integers(0, 1000))
def test_any_sequence_of_steps_is_survived_and_never_floods(steps: list[tuple[int, float]], total: int):
    clock = Clock()
    written: list[str] = []
    log.configure(SETTINGS, written.append)
    report = LineReport(clock)
    report.start("a.tif", total)
    for units, seconds in steps:
        clock.now += seconds
        report.advance(units)
    log.close()
    assert len(written) <= sum(seconds for _, seconds in steps)


def test_results_are_logged_and_kept(lines: list[str]):
    report = Report()
    report.start("a.tif", 10)
    report.advance(10)
    report.finish(DONE)
    report.skip("b.ome.zarr", "is there already")
    report.fail("c\n.tif", error := InputError("is\nbroken", source="c\n.tif"))
    assert lines == ["a.ome.zarr: done in 2.0 s, 134.2 Mpx/s", "b.ome.zarr: is there already", r"ERROR 'c\n.tif': is\nbroken"]
    assert (report.summaries, report.skipped, report.failures) == (
        [DONE],
        [("b.ome.zarr", "is there already")],
        [error],
    )


def test_every_end_of_an_image_names_its_input_and_its_dataset():
    report, ends = Report(), []
    sink = logger.add(lambda message: ends.append(message.record["extra"]), level="INFO")
    try:
        report.begin(Begun(source="in/a.tif", series=0, target="out/a.ome.zarr", shape=(1, 8, 8), levels=1, objects=3))
        report.finish(replace(DONE, name="out/a.ome.zarr"))
        report.skip("in/a.tif", "is there already", "out/a.ome.zarr")
        report.share("in/a.tif", "part 1/2 is done", "out/a.ome.zarr")
        report.fail("in/a.tif", InputError("is broken"), "out/a.ome.zarr")
    finally:
        logger.remove(sink)
    assert [end["event"] for end in ends] == ["image-begun", "image-done", "image-skipped", "image-part", "image-failed"]
    assert {(end["image"], end["source"], end["dataset"]) for end in ends[1:]} == {("in/a.tif", "in/a.tif", "out/a.ome.zarr")}


def test_table_is_aligned_and_complete():
    report = Report()
    report.finish(DONE)
    report.finish(
        Summary(
            name="another/longer name.ome.zarr",
            shape=(2, 60, 512, 512),
            levels=2,
            chunks=17,
            stored_bytes=999,
            seconds=0.04,
            pixels=31_457_280,
        )
    )
    report.skip("c.ome.zarr", "is there already")
    report.fail("d.tif", InputError("is empty", source="d.tif"))
    table = report.table()
    assert table[0].split() == ["image", "size", "levels", "chunks", "stored", "seconds", "Mpx/s", "peak", "memory"]
    assert table[1].split() == ["a.ome.zarr", "3", "x", "8192", "x", "8192", "6", "1365", "110", "MB", "2.0", "134.2", "180", "MB"]
    assert "999 B" in table[2]
    assert len({len(line) for line in table[:3]}) == 1
    assert table[3:] == ["skipped  c.ome.zarr: is there already", "FAILED   d.tif: is empty"]
    assert Report().table() == []


def begun(name: str) -> Begun:
    return Begun(source=name, series=0, target=f"{name}.zarr", shape=(1, 8, 8), levels=1, objects=3)


def batch(report: Report, clock: Clock, images: int) -> None:
    """A second for each image; every tenth fails, the others look like labels."""
    for number in range(1, images + 1):
        report.at(number, images)
        report.begin(begun(f"{number}.tif"))
        if number % 10:
            report.advise(f"{number}.tif", Advice(level="WARNING", event="labels", text=f"labels, {number} flat", summary="labels"))
            report.finish(replace(DONE, name=f"{number}.tif.zarr"))
        else:
            report.fail(f"{number}.tif", InputError("is broken", source=f"{number}.tif"))
        clock.now += 1


def test_of_many_images_what_goes_wrong_and_how_far_it_is():
    clock, lines = Clock(), []
    report = LineReport(clock, verbose=False)
    report.results = Results(clock)
    log.configure(SETTINGS, lambda text: lines.append(text[9:].rstrip("\n")), many=lambda: report.many)
    batch(report, clock, 40)
    log.close()
    said = ["40 inputs: what goes wrong and how far it is will be told; --verbose tells of each", "WARNING 1.tif: labels, 1 flat"]
    assert lines[:2] == said
    rest = lines[2:]
    assert [line for line in rest if "ERROR" in line] == [f"ERROR {number}.tif: is broken" for number in (10, 20, 30, 40)]
    progress = [line for line in rest if "ERROR" not in line]
    assert progress[0] == "3 of 40: 2 images done, 38.0 s left"  # 5 percent
    assert progress[-1] == "39 of 40: 35 images done, 3 failed, 2.0 s left"
    assert len(progress) == 19
    assert report.table() == [
        "note     36 images: labels",
        *(f"FAILED   {number}.tif: is broken" for number in (10, 20, 30, 40)),
        "36 converted, 0 skipped, 4 failed in 40.0 s: 3.96 GB in 108 objects (--verbose names each image, --report FILE has all)",
    ]


def test_what_is_left_of_small_images_is_told_by_those_that_are_made_not_by_those_that_have_their_names():
    """As a bunch of them comes: all begin, then each is made, then each gets its name."""
    clock, lines = Clock(), []
    report = LineReport(clock, verbose=False)
    report.results = Results(clock)
    log.configure(SETTINGS, lambda text: lines.append(text[9:].rstrip("\n")), many=lambda: report.many)
    waiting = []
    for number in range(1, 31):
        report.at(number, 40)
        waiting.append(report.aside())
    for number in range(30):
        report.again(waiting[number])
        report.begin(begun(f"{number}.tif"))
        report.phase("levels")
        clock.now += 1
        waiting[number] = report.aside()
    report.at(31, 40)
    for number in range(20):
        report.again(waiting[number])
        report.finish(replace(DONE, name=f"{number}.tif.zarr"))
    clock.now += 2
    report.at(35, 40)
    log.close()
    assert lines[1:] == [
        "3 of 40: 0 images done, 38.0 s left",  # two seconds for two images
        *(f"{n} of 40: 0 images done, {40 - n + 1}.0 s left" for n in range(5, 31, 2)),
        "31 of 40: 0 images done, 10.0 s left",
        "35 of 40: 20 images done, 10.7 s left",  # 32 seconds for 30 images
    ]


def test_an_image_that_is_told_of_again_leaves_the_turn_of_the_inputs_as_it_is(lines: list[str]):
    report = LineReport()
    report.at(1, 3)
    first = report.aside()
    report.at(2, 3)
    report.again(first)
    report.begin(begun("a.tif"))
    report.finish(replace(DONE, name="a.tif.zarr"))
    report.begin(begun("b.tif"))
    report.finish(replace(DONE, name="b.tif.zarr"))
    assert [line for line in lines if " of 3" in line] == [
        "1 of 3, a.tif: 1 x 8 x 8 in 1 level, 3 objects",
        "2 of 3, b.tif: 1 x 8 x 8 in 1 level, 3 objects",
    ]


@pytest.mark.parametrize(("images", "verbose"), [(20, False), (40, True)])
def test_of_few_images_or_with_verbose_each_is_told_of(images: int, verbose: bool):
    clock, lines = Clock(), []
    report = LineReport(clock, verbose=verbose)
    log.configure(SETTINGS, lines.append, many=lambda: report.many)
    batch(report, clock, images)
    log.close()
    assert sum("1 x 8 x 8 in 1 level" in line for line in lines) == images
    assert sum("done in 2.0 s" in line for line in lines) == images * 9 // 10
    assert len(report.table()) == 1 + images + 1  # the heading and the note


def test_a_long_image_among_many_is_told_of_every_30_seconds():
    clock, lines = Clock(), []
    report = LineReport(clock, verbose=False)
    log.configure(SETTINGS, lambda text: lines.append(text[9:].rstrip("\n")), many=lambda: report.many)
    report.at(1, 21)
    report.start("a.tif", 100)
    for _ in range(100):
        clock.now += 1
        report.advance(1)
    log.close()
    assert [line.partition(" of 100 px")[0] for line in lines[1:]] == [f"1 of 21, a.tif: {percent} %" for percent in (30, 60, 90)]


def test_bar_shows_name_rate_and_remaining_time_and_starts_no_thread():
    threads = threading.active_count()
    stream = Terminal()
    report = BarReport(stream)
    report.start("slide.tif", 4_000_000)
    report.advance(1_000_000)
    report._bar.refresh()
    assert threading.active_count() == threads
    report.finish(DONE)
    last = stream.getvalue().rsplit("\r", 3)[-3]
    assert "slide.tif" in last
    assert " 25%" in last
    assert "1.00M/4.00M" in last
    assert "px/s" in last
    assert "<" in last  # elapsed<remaining
    assert report._bar is None


def test_of_many_inputs_the_bar_counts_those_that_are_made():
    """Small images are made by workers, several at once, and none has a bar of its own."""
    stream = Terminal()
    report = BarReport(stream)
    aside = []
    for number in range(1, 5):
        report.at(number, 4)
        aside.append(report.aside())
    for image in aside[:3]:
        report.again(image)
        report.spent("levels", 0.1)
        aside.append(report.aside())
    report.again(aside[3])
    report._inputs.refresh()
    last = stream.getvalue().rsplit("\r", 1)[-1]
    assert last.startswith("inputs:  75%") and "3/4" in last
    report.start("slide.tif", 100)  # one that takes longer has its own
    assert report._inputs is None and report._bar is not None
    report.end()
    assert report._bar is None
    assert screen(stream.getvalue())[-1] == ""


def screen(text: str) -> list[str]:
    """What a terminal shows in the end: carriage returns overwrite."""
    shown = []
    for row in text.split("\n"):
        cells: list[str] = []
        for piece in row.split("\r"):
            piece = piece.replace("\x1b[A", "")
            cells[: len(piece)] = piece
        shown.append("".join(cells).rstrip())
    return shown


def test_log_lines_do_not_tear_the_bar():
    stream = Terminal()
    report = BarReport(stream)
    log.configure(SETTINGS, report.write)
    report.start("slide.tif", 100)
    report.advance(50)
    logger.warning("something to know")
    report.advance(50)
    logger.info("and more")
    report.finish(DONE)
    report.write("the table\n")
    log.close()
    rows = screen(stream.getvalue())
    assert [row[9:] for row in rows[:3]] == ["WARNING something to know", "and more", "a.ome.zarr: done in 2.0 s, 134.2 Mpx/s"]
    assert rows[3:] == ["the table", ""]


def test_a_bar_that_was_never_ended_is_taken_away_by_the_next_start_and_by_end():
    report = BarReport(Terminal())
    report.start("a", 10)
    report.start("b", 10)
    report.end()
    report.end()
    assert report._bar is None


def test_make_report_fits_stderr(monkeypatch: pytest.MonkeyPatch):
    assert type(make_report(quiet=True)) is Report
    assert type(make_report()) is LineReport
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert type(make_report()) is BarReport
    assert type(make_report(lines=True)) is LineReport


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 px"), (999, "999 px"), (2_400_000_000, "2.4 Gpx"), (999_999, "1 Mpx"), (5e15, "5e+03 Tpx"), (1234, "1.23 kpx")],
)
def test_quantity(number: float, text: str):
    assert quantity(number, "px") == text


@pytest.mark.parametrize(("seconds", "text"), [(0.04, "0.0 s"), (59.9, "59.9 s"), (65, "1:05"), (3725, "1:02:05"), (3599.7, "1:00:00")])
def test_duration(seconds: float, text: str):
    assert duration(seconds) == text
