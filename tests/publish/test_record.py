"""Record: what is read back is what was safe on disk; torn, foreign and wrong records; attempts; the grids of what is finished."""

import errno
import gc
import json
import math
import os
import threading
import time
import zlib
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pyramids import picture, pyramid

from omezarr_proc.model.errors import OutputError
from omezarr_proc.model.region import Region
from omezarr_proc.plan.passes import Pass, bands
from omezarr_proc.publish import record as module
from omezarr_proc.publish.by_rename import recover
from omezarr_proc.publish.finished import Finished
from omezarr_proc.publish.hidden import MAGIC, record_path, staging_path
from omezarr_proc.publish.history import Unit, header, is_ended, line, read, unit_line
from omezarr_proc.publish.record import Record
from omezarr_proc.store.arrays import OME_XML, put_all, write_root
from omezarr_proc.store.folder import Folder
from omezarr_proc.store.remove import remove_tree
from omezarr_proc.store.sync import Disk

HEADER = MAGIC + header("k")

floats = st.floats(allow_nan=False, allow_infinity=False)
ranges = st.tuples(st.integers(0, 9999), st.integers(0, 9999))
units = st.builds(
    Unit,
    st.integers(0, 9999),
    st.integers(0, 20),
    ranges,
    ranges,
    st.lists(st.none() | st.tuples(floats, floats).map(sorted).map(tuple), max_size=3).map(tuple),
    st.integers(0, 2**40),
    st.binary(max_size=40),
)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "a.ome.zarr"


def reopened(target: Path, key: str = "k") -> Record:
    record = Record.open(target, key)
    record.close()
    return record


def test_units_come_back_exactly(target: Path) -> None:
    added = [
        Unit(2, 0, (0, 4), (8, 16), ((5e-324, 0.1 + 0.2), None, (-math.pi, 1.7976931348623157e308)), 12345, bytes(range(16))),
        Unit(0, 3, (1, 2), (0, 1)),
    ]
    record = Record.open(target, "k")
    assert not record.units
    record.begin({"workers": 2})
    record.add(added[:1])
    record.add(added[1:])
    assert record.flush()
    record.close()
    again = reopened(target)
    assert again.units == tuple(added)
    assert again.units
    assert [(a.plan, a.units, a.how) for a in again.history.attempts] == [({"workers": 2}, 2, None)]


@given(st.lists(units, max_size=5))
def test_lines_round_trip(added: list[Unit]) -> None:
    history = read(HEADER + b"".join(map(unit_line, added)), "k")
    assert history is not None
    assert history.units == added


@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=3))
@example(43, b"\n\0")  # the newline stays the newline that it was
def test_damage_anywhere_ends_the_record_there(place: int, garbage: bytes) -> None:
    """Whatever three bytes become, and wherever the file ends, only true units are read."""
    added = [Unit(n, 0, (0, 1), (0, 1), ((-1.0, float(n)),)) for n in range(8)]
    lines = [unit_line(unit) for unit in added]
    body = b"".join(lines)
    place %= len(body)
    torn = read(HEADER + body[:place], "k")
    assert torn is not None and torn.units == added[: body.count(b"\n", 0, place)]
    damaged = body[:place] + garbage + body[place + len(garbage) :]
    history = read(HEADER + damaged, "k")
    assert history is not None
    whole = next((n for n, pair in enumerate(zip(body, damaged, strict=False)) if pair[0] != pair[1]), len(body))
    assert history.units == (added if damaged == body else added[: body.count(b"\n", 0, whole)])


def test_a_unit_of_an_older_version_is_without_checksums() -> None:
    history = read(HEADER + line(["unit", 2, 0, 0, 4, 8, 16, [[1.0, 2.0], None], 12345]) + unit_line(Unit(1, 1, (0, 1), (0, 1))), "k")
    assert history is not None
    assert history.units == [Unit(2, 0, (0, 4), (8, 16), ((1.0, 2.0), None), 12345), Unit(1, 1, (0, 1), (0, 1))]


WRONG = [
    b"",
    b"{",
    b"[" * 100_000,
    b"9" * 5000,
    b"\xff",
    *(
        json.dumps(fact).encode()
        for fact in (
            None,
            7,
            {},
            [],
            [[]],
            ["unit"],
            ["units", 0],
            ["begin", 3],
            ["end", None],
            ["unit", 0, 0, 0, 1, 0, 1, [], 5, "", ""],
            ["unit", 0, 0, 0, 1, 0, 1, [], 5, "0g"],
            ["unit", 0, 0, 0, 1, 0, 1, [], -5, ""],
            ["unit", 0, 0, 0, "1", 0, 1, [], 5, ""],
            ["unit", 0.5, 0, 0, 1, 0, 1, [], 5, ""],
            ["unit", 0, 0, 0, 1, 0, 1, None, 5, ""],
            ["unit", 0, 0, 0, 1, 0, 1, [[1]], 5, ""],
            ["unit", 0, 0, 0, 1, 0, 1, [[2, 1]], 5, ""],
            ["unit", 0, 0, 0, 1, 0, 1, [["a", 1]], 5, ""],
            ["unit", 0, 0, 0, 1, 0, 1, [[math.nan, 1]], 5, ""],
            ["unit", 0, 0, 0, 1, 0, 1, [[0, 10**400]], 5, ""],
        )
    ),
]


@pytest.mark.parametrize("text", WRONG, ids=range(len(WRONG)))
def test_a_line_of_wrong_content_ends_the_record_though_its_crc_is_right(text: bytes) -> None:
    """Also as the first line: then the record tells nothing."""
    wrong = b"%08x %s\n" % (zlib.crc32(text), text)
    unit = Unit(0, 0, (0, 1), (0, 1))
    history = read(HEADER + unit_line(unit) + wrong + unit_line(unit), "k")
    assert history is not None
    assert (history.units, history.end) == ([unit], len(HEADER + unit_line(unit)))
    assert read(MAGIC + wrong, "k") is None


def test_goes_on_after_a_torn_line(target: Path) -> None:
    first, second = (Unit(n, 0, (0, 1), (0, 1)) for n in range(2))
    record = Record.open(target, "k")
    record.add([first])
    record.flush()
    record.close()
    with record_path(target).open("ab") as file:
        file.write(unit_line(second)[:-5])
    record = Record.open(target, "k")
    assert record.units == (first,)
    record.add([second])
    record.flush()
    record.close()
    assert reopened(target).units == (first, second)


@pytest.mark.parametrize("change", ["key", "format", "header", "staging"])
def test_what_is_worthless_is_begun_anew(target: Path, change: str) -> None:
    record = Record.open(target, "k")
    (record.staging / "0").mkdir()
    (record.staging / "0" / "chunk").write_bytes(b"1")
    record.add([Unit(0, 0, (0, 1), (0, 1))])
    record.flush()
    record.close()
    data = record_path(target).read_bytes()
    if change == "format":
        record_path(target).write_bytes(data.replace(header("k"), line(["dataset", 2, "k"])))
    elif change == "header":
        record_path(target).write_bytes(data.replace(b'"dataset"', b'"datasat"'))
    elif change == "staging":
        remove_tree(record.staging)
    again = reopened(target, "other" if change == "key" else "k")
    assert not again.units
    assert os.listdir(again.staging) == []


def test_resumed_staging_has_its_chunks_and_no_metadata(target: Path) -> None:
    record = reopened(target)
    for name in ("zarr.json", "0/zarr.json", "0/zarr.json.1f.partial", "0/c/0/0/0"):
        (record.staging / name).parent.mkdir(parents=True, exist_ok=True)
        (record.staging / name).write_bytes(b"1")
    again = reopened(target)
    assert [str(p.relative_to(again.staging)) for p in again.staging.rglob("*") if p.is_file()] == ["0/c/0/0/0"]


def test_foreign_files_in_the_way_stay(target: Path) -> None:
    record_path(target).write_bytes(b"my notes\n")
    with pytest.raises(OutputError, match=r"\.a\.ome\.zarr\.record: is in the way and not of omezarr_proc: remove it"):
        Record.open(target, "k")
    assert record_path(target).read_bytes() == b"my notes\n"
    record_path(target).unlink()
    staging_path(target).mkdir()
    for _ in range(2):
        with pytest.raises(OutputError, match=r"\.a\.ome\.zarr\.partial: is in the way and not known to be of omezarr_proc: remove it"):
            Record.open(target, "k")
    assert os.listdir(target.parent) == [staging_path(target).name]


@pytest.mark.parametrize("what", ["staging", "level", "row", "chunk", "metadata", "FIFO"])
def test_links_in_the_staging_folder_are_not_followed(target: Path, what: str) -> None:
    """All is made anew, and what the link leads to is neither changed nor taken for finished."""
    record = Record.open(target, "k")
    for folder in (record.staging / "0/c/0", elsewhere := target.with_name("elsewhere")):
        folder.mkdir(parents=True)
        for name in ("0", "zarr.json", ".zattrs"):
            (folder / name).write_text("mine")
    record.add([Unit(0, 0, (0, 1), (0, 1))])
    record.flush()
    record.close()
    parts = {"staging": ".", "level": "0", "row": "0/c/0", "chunk": "0/c/0/0", "metadata": "0/zarr.json", "FIFO": "0/c/0/1"}
    place = record.staging / parts[what]
    remove_tree(place)
    if what == "FIFO":
        os.mkfifo(place)
    else:
        place.symlink_to(elsewhere / "0" if what in ("chunk", "metadata") else elsewhere)
    again = reopened(target)
    assert not again.units
    assert not again.staging.is_symlink() and os.listdir(again.staging) == []
    assert {path.name: path.read_text() for path in elsewhere.iterdir()} == dict.fromkeys(("0", "zarr.json", ".zattrs"), "mine")


@pytest.mark.parametrize("what", ["link", "FIFO"])
def test_a_chunk_file_is_not_written_through_a_link_nor_into_a_fifo(tmp_path: Path, what: str) -> None:
    (tmp_path / "mine").write_text("mine")
    if what == "link":
        (tmp_path / "0").symlink_to("mine")
    else:
        os.mkfifo(tmp_path / "0")
    with pytest.raises(OutputError, match="/0: cannot write: "):
        Folder(str(tmp_path)).put("0", b"chunk")
    assert (tmp_path / "mine").read_text() == "mine"


def test_metadata_are_not_written_through_a_link_nor_where_the_folder_has_vanished(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (staging := tmp_path / "staging").mkdir()
    (tmp_path / "elsewhere/zarr.json.partial").write_text("mine")
    (staging / "OME").symlink_to("../elsewhere")
    (staging / "zarr.json.partial").symlink_to("../elsewhere/zarr.json.partial")
    with pytest.raises(OutputError, match=r"METADATA\.ome\.xml: cannot write: Not a directory"):
        put_all(Folder(str(staging)), {OME_XML: b"<OME/>"})
    with pytest.raises(OutputError, match=r"staging/zarr\.json: cannot write: Is a link"):
        write_root(Folder(str(staging)), {}, 3)
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["zarr.json.partial"]
    assert (tmp_path / "elsewhere/zarr.json.partial").read_text() == "mine"
    for call in (
        lambda: write_root(Folder(str(tmp_path / "gone")), {}, 2),
        lambda: put_all(Folder(str(tmp_path / "gone")), {OME_XML: b"<OME/>"}),
    ):
        with pytest.raises(OutputError, match="cannot write: N"):
            call()
    assert not (tmp_path / "gone").exists()


@pytest.mark.parametrize("what", ["link", "FIFO", "folder"])
def test_a_record_that_is_no_plain_file_is_refused(target: Path, what: str) -> None:
    (mine := target.with_name("mine")).write_bytes(HEADER)
    if what == "link":
        record_path(target).symlink_to("mine")
    else:
        (os.mkfifo if what == "FIFO" else os.mkdir)(record_path(target))
    with pytest.raises(OutputError, match=r"\.a\.ome\.zarr\.record: cannot make the output: Is (a link|no plain file|a directory)"):
        Record.open(target, "k")
    assert recover(target.parent) == set()
    assert mine.read_bytes() == HEADER


def test_attempts_count_as_long_as_they_are_killed(target: Path) -> None:
    def attempt(finished: int, how: str | None) -> tuple[int, int]:
        record = Record.open(target, "k")
        record.begin({})
        record.add(Unit(n, 0, (0, 1), (0, 1)) for n in range(finished))
        if how is None:
            record.flush()
        else:
            assert record.end(how, timeout=60)
        record.close()
        again = reopened(target)
        return again.history.unfinished, again.history.stalled

    assert attempt(0, None) == (1, 1)
    assert attempt(0, None) == (2, 2)
    assert attempt(3, None) == (3, 0)
    assert attempt(0, None) == (4, 1)
    assert attempt(0, "deadline") == (0, 0)
    assert attempt(0, None) == (1, 1)
    assert [a.how for a in reopened(target).history.attempts] == [None] * 4 + ["deadline", None]


def test_units_are_noted_by_time_after_their_chunks_are_flushed(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    write = module.write_all
    monkeypatch.setattr(Disk, "sync", lambda disk: calls.append("syncfs"))
    record = Record.open(target, "k", interval=0.05)
    monkeypatch.setattr(module, "write_all", lambda fd, data: (calls.append("write"), write(fd, data)))
    monkeypatch.setattr(os, "fsync", lambda fd: calls.append("fsync"))
    record.add([Unit(0, 0, (0, 1), (0, 1))])
    end = time.monotonic() + 30
    while "fsync" not in calls and time.monotonic() < end:
        time.sleep(0.01)
    assert calls == ["syncfs", "write", "fsync"]
    record.close()
    assert len(reopened(target).units) == 1


def test_add_does_not_wait_for_a_slow_disk(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = threading.Event()
    monkeypatch.setattr(Disk, "sync", lambda disk: stuck.wait(60))
    record = Record.open(target, "k", interval=0.01)
    began = time.monotonic()
    for n in range(50):
        record.add([Unit(n, 0, (0, 1), (0, 1))])
        time.sleep(0.001)
    assert not record.flush(timeout=0.1)
    assert not record.end("SIGTERM", timeout=0.1)
    assert time.monotonic() - began < 10
    stuck.set()
    assert record.flush(60)
    record.close()
    again = reopened(target)
    assert len(again.units) == 50
    assert again.history.unfinished == 0


def test_errors_of_the_thread_come_up_in_the_main_thread(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(disk: Disk) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    record = Record.open(target, "k")
    monkeypatch.setattr(Disk, "sync", full)
    record.add([Unit(0, 0, (0, 1), (0, 1))])
    for call in (record.flush, lambda: record.add([]), lambda: record.end("failed")):
        with pytest.raises(OutputError, match=r"\.a\.ome\.zarr\.record: cannot note what is finished: No space left .*free space"):
            call()
    record.close()
    assert reopened(target).units == ()


def test_full_disk_tears_no_line(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = Record.open(target, "k")

    def half(fd: int, data: bytes) -> None:
        os.write(fd, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module, "write_all", half)
    record.add([Unit(0, 0, (0, 1), (0, 1))])
    with pytest.raises(OutputError):
        record.flush()
    record.close()
    assert record_path(target).read_bytes() == HEADER


def test_close_leaves_no_thread_and_no_descriptor(target: Path) -> None:
    gc.collect()  # what earlier tests have left, which may go at any time
    threads, fds = set(threading.enumerate()), len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        record = Record.open(target, "k")
        record.flush()
        record.close()
        del record  # and with it the descriptor of the disk
    assert set(threading.enumerate()) <= threads
    assert len(os.listdir("/proc/self/fd")) <= fds


LEVELS = pyramid(picture(1000, 700, c=3, z=2), least=256, tile=256)  # 1000 x 700, 500 x 350, 250 x 175


def ground(frame: int, y0: int, y1: int, x0: int, x1: int) -> Region:
    """The pixels of rows y0..y1-1 and columns alike of chunks, in one of the frames (z, c) = (0, 0), (0, 1), (0, 2), (1, 0)..."""
    z, c = divmod(frame, 3)
    return Region((0, c, z, 256 * y0, 256 * x0), (1, c + 1, z + 1, 256 * y1, 256 * x1))


def test_finished_knows_each_chunk() -> None:
    done = Finished(LEVELS)
    assert not done.covers(0, ground(0, 0, 1, 0, 1))
    done.add(Unit(1, 0, (1, 3), (0, 2)))
    assert done.covers(0, ground(1, 1, 3, 0, 2))
    assert done.covers(0, ground(1, 2, 3, 1, 2))
    assert not done.covers(0, ground(1, 1, 3, 0, 3))
    assert not done.covers(0, ground(1, 0, 3, 0, 2))
    assert not done.covers(0, ground(0, 1, 3, 0, 2))
    assert not done.covers(1, ground(1, 1, 2, 0, 2))
    for unit in (
        Unit(10**30, 0, (0, 1), (0, 1)),
        Unit(0, -1, (0, 1), (0, 1)),
        Unit(1, 0, (3, 5), (0, 1)),
        Unit(6, 0, (0, 1), (0, 1)),
        Unit(0, 3, (0, 1), (0, 1)),
        Unit(0, 0, (-1, 1), (0, 1)),
    ):
        with pytest.raises(IndexError):
            done.add(unit)


def test_band_of_another_plan_is_covered_when_all_its_chunks_are() -> None:
    done = Finished(LEVELS)
    for level, rows, columns in ((0, (0, 2), (0, 3)), (0, (2, 4), (0, 3)), (1, (0, 2), (0, 2))):
        done.add(Unit(0, level, rows, columns))
    once = (1, 1, 1, 1, 1)
    flat = Pass(None, once, 0, 0, (1, 1, 1, 512, 768))
    assert [done.covers_band(flat, band) for band in bands(flat, LEVELS)] == [True, True] + [False] * 10
    tall = Pass(None, once, 0, 2, (1, 1, 1, 1024, 1024))
    assert [done.covers_band(tall, band) for band in bands(tall, LEVELS)] == [False] * 6  # level 2 is missing
    done.add(Unit(0, 2, (0, 1), (0, 1)))
    assert [done.covers_band(tall, band) for band in bands(tall, LEVELS)] == [True] + [False] * 5
    top = Pass(1, (1, 1, 1, 2, 2), 2, 2, (1, 1, 1, 256, 256))
    for frame in range(1, 6):
        assert [done.covers_band(top, band) for band in bands(top, LEVELS)] == [True] * frame + [False] * (6 - frame)
        done.add(Unit(frame, 2, (0, 1), (0, 1)))
    assert all(done.covers_band(top, band) for band in bands(top, LEVELS))


def test_storage_that_does_not_answer_is_told_of(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time after twice as long; the flush itself goes on."""
    told: list[str] = []
    answers = threading.Event()

    def listen(message: str) -> None:
        told.append(message)
        if len(told) == 3:
            answers.set()

    fsync = os.fsync
    record = Record.open(target, "k")
    monkeypatch.setattr(module.os, "fsync", lambda fd: (answers.wait(60), fsync(fd)))
    sink = module.logger.add(listen, format="{level} {message}")
    record.add([Unit(0, 0, (0, 1), (0, 1))])
    assert record.flush(notice=0.1)
    record.close()
    module.logger.remove(sink)
    assert told == [f"WARNING {staging_path(target)}: has waited for storage for {seconds} s\n" for seconds in (0.1, 0.2, 0.4)]


def test_each_field_of_a_plate_has_a_history_of_its_own(target: Path) -> None:
    record = Record.open(target, "k")
    record.begin({"fields": ["A/1/0", "A/1/1", "A/1/2"]})
    one, other = Unit(0, 0, (0, 1), (0, 1)), Unit(1, 0, (0, 1), (0, 1))
    record.begin({"field": "A/1/0"})
    record.add([one])
    record.note(["made", "A/1/0", 7])
    record.begin({"field": "A/1/1"})
    record.add([other])
    record.end("InputError")
    record.note(["forget", "A/1/1"])
    record.begin({"field": "A/1/2"})
    record.add([other])
    record.flush()
    record.close()
    history = reopened(target).history
    assert history.paths == ["A/1/0", "A/1/1", "A/1/2"]
    assert (history.units, len(history.attempts)) == ([], 1)
    assert {path: (of.units, of.made, of.unfinished) for path, of in history.fields.items()} == {
        "A/1/0": ([one], 7, 0),
        "A/1/1": ([], None, 0),
        "A/1/2": ([other], None, 1),
    }


def test_a_plate_that_an_older_version_has_begun_is_begun_anew(target: Path) -> None:
    record = Record.open(target, "k")
    record.begin({"fields": 3})
    record.close()
    (staging_path(target) / "A/1").mkdir(parents=True)
    (staging_path(target) / "A/1/.0.record").write_bytes(b"of a field")
    assert reopened(target).history.attempts == []
    assert list(staging_path(target).iterdir()) == []


def test_a_field_that_is_made_does_not_end_the_record(target: Path) -> None:
    """By its last line it is known whether a part has finished its share."""
    record = Record.open(target, "k")
    record.begin({"field": "A/1/0"})
    record.note(["made", "A/1/0", 7])
    record.flush()
    assert not is_ended(record_path(target).read_bytes(), "finished")
    record.end("finished")
    record.close()
    assert is_ended(record_path(target).read_bytes(), "finished")
