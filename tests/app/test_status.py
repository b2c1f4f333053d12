"""status: what is done, what is not, and which parts are to be started again."""

import json
from pathlib import Path

import pytest
from runs import stack

from omezarr_proc import cli
from omezarr_proc.model.part import Part
from omezarr_proc.publish.hidden import inside, part_target
from omezarr_proc.publish.history import Unit
from omezarr_proc.publish.lock import Lock
from omezarr_proc.publish.record import Record


@pytest.fixture
def out(tmp_path: Path) -> Path:
    stack(tmp_path / "in.ome.tif", 1, 64)
    assert cli.main(["--quiet", "--output-dir", str(tmp_path / "out"), str(tmp_path / "in.ome.tif")]) == 0
    return tmp_path / "out"


def noted(target: Path, number: int, end: str | None, chunks: int = 4) -> None:
    """A part that has noted two of `chunks` chunks."""
    record = Record.of_part(target, Part(number, 4), "k")
    record.begin({"parts": [1, 2, 3], "chunks": chunks})
    record.add([Unit(0, 0, (number, number + 1), (0, 2), (), 1000)])
    if end:
        record.end(end)
    record.flush()
    record.close()


def status(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str]:
    code = cli.main(["status", *map(str, words)])
    return code, capsys.readouterr().out


def test_a_folder_where_all_is_done(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(capsys, out) == (0, "done: 1, not done: 0\n")
    code, text = status(capsys, out, "--json")
    assert (code, json.loads(text)) == (0, {"done": [str(out / "in.ome.zarr")], "unfinished": []})


def test_one_that_hides_its_files_in_itself_is_not_done(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As `-o b.ome.zarr` leaves it where it is interrupted."""
    target = inside(out / "b.ome.zarr")
    target.parent.mkdir()
    record = Record.open(target, "k")
    record.begin({})
    record.end("interrupted")
    record.close()
    found, told = status(capsys, out)
    assert found == 1 and "b.ome.zarr: a run has stopped" in told and "not done: 1" in told


def test_parts_are_done_at_work_stopped_or_missing(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = out / "a.ome.zarr"
    Record.open(target, "k").close()
    noted(target, 1, "finished")
    noted(target, 2, None)
    code, text = status(capsys, out)
    assert code == 1
    assert "a.ome.zarr: of 4 parts done: 1, stopped: 2, not begun: 3; start parts 2-3 again; 2 kB are stored" in text
    with Lock(part_target(target, Part(2, 4))):
        code, text = status(capsys, out, "--json")
    (one,) = json.loads(text)["unfinished"]
    assert (one["of"], one["done"], one["working"], one["stopped"], one["missing"]) == (4, [1], [2], [], [3])
    assert (one["again"], one["bytes"], one["run"]) == (["3/4"], 2000, None)


def test_where_all_parts_are_done_any_of_them_publishes(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = out / "a.ome.zarr"
    Record.open(target, "k").close()
    for number in (1, 2, 3):
        noted(target, number, "finished")
    code, text = status(capsys, out)
    assert code == 1
    assert "start PART=1/4 again" in text
    with Lock(target):  # one does
        assert "again" not in status(capsys, out)[1]


def test_a_run_without_parts_and_inputs_without_anything(out: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    record = Record.open(out / "b.ome.zarr", "k")
    record.begin({"chunks": 8})
    record.add([Unit(0, 0, (0, 1), (0, 2), (), 500)])
    record.flush()
    record.close()
    (tmp_path / "tiffs").mkdir()
    for name in ("in.ome.tif", "b.ome.tif", "c.tif"):
        (tmp_path / "tiffs" / name).write_bytes(b"II")
    code, text = status(capsys, out, "--input-dir", tmp_path / "tiffs")
    assert code == 1
    assert "b.ome.zarr: a run has stopped, 25 %; 500 B are stored" in text
    assert f"{tmp_path}/tiffs/c.tif: nothing of it is there" in text
    assert text.endswith("done: 1, not done: 1, nothing of: 1\n")


def test_what_is_no_folder_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", str(tmp_path / "none")]) == 2


def test_a_folder_with_nothing_is_not_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = status(capsys, tmp_path)
    assert (code, text) == (1, "nothing is here: no dataset, and none that is being made\ndone: 0, not done: 0\n")
