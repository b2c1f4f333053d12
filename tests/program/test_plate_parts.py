# ruff: noqa: F811  # fixtures by their names
"""A plate in parts: its fields are shared out; in any order, at once, killed, repeated, they make what one run makes, byte for byte."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from objectserver import Prefix, object_server, store  # noqa: F401  # fixtures
from parts import FLAGS, UNPUBLISHED, run
from plates import damage, write_plate, write_set
from runs import ROOT, Program, digest

from omezarr_proc.model.part import Part
from omezarr_proc.publish.hidden import part_target
from omezarr_proc.publish.lock import Lock

WELLS = [(2, 11, 2), (0, 1, 1), (0, 0, 2), (1, 5, 0), (3, 3, 2)]
NAME = "screen.ome.zarr"
# The program that dies when it has begun the second field of its share.
DYING = """
import itertools, os, signal, sys
from omezarr_proc.cli import main
from omezarr_proc.publish.record import Record
begin, times = Record.begin, itertools.count(1)
def last(record, plan):
    begin(record, plan)
    if "field" in plan and next(times) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
Record.begin = last
sys.exit(main())
"""
DYING_COMMAND = (sys.executable, "-c", DYING)


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A folder with a plate, and what one run makes of it."""
    folder = tmp_path_factory.mktemp("plate")
    (folder / "in").mkdir()
    write_plate(folder / "in/screen.ome.tif", WELLS, attributes='Rows="8" Columns="12"', runs=2)
    assert run(folder / "out", folder / "in")[0] == 0
    return folder / "in", digest(folder / "out")


def status(out: Path | str, *flags: str) -> str:
    words = [sys.executable, "-m", "omezarr_proc", "status", str(out), *flags]
    return subprocess.run(words, capture_output=True, text=True, cwd=ROOT).stdout


@pytest.mark.parametrize("order", [(3, 1, 2), (1, 1, 2, 3)])
def test_parts_in_any_order_make_what_one_run_makes(plate: tuple[Path, dict[str, str]], tmp_path: Path, order: tuple[int, ...]) -> None:
    source, expected = plate
    for number in order:
        assert not (tmp_path / NAME).exists()
        assert run(tmp_path, source, "--part", f"{number}/3")[0] == 0
    assert digest(tmp_path) == expected


def test_a_folder_that_is_the_plate_is_made_in_parts_too(plate: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    source, expected = plate
    for number in (2, 1):
        assert run(tmp_path, source, "--part", f"{number}/2", "--output-layout", "root")[0] == 0
    assert digest(tmp_path) == {name.removeprefix(f"{NAME}/"): content for name, content in expected.items()}


def test_a_part_that_is_killed_is_repeated_and_who_dies_publishing_too(plate: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    source, expected = plate
    assert run(tmp_path, source, "--part", "1/2", command=DYING_COMMAND)[0] == -9
    assert run(tmp_path, source, "--part", "2/2")[0] == 0
    told = status(tmp_path)
    assert "of 2 parts done: 2, stopped: 1; start PART=1/2 again; 5 of 7 fields are made, missing: A/1/1, A/2/0" in told
    (unfinished,) = json.loads(status(tmp_path, "--json"))["unfinished"]
    assert unfinished["fields"] == {"made": 5, "missing": ["A/1/1", "A/2/0"]}
    made = tmp_path / f".{NAME}.partial/A/1/0/0/c/0/0/0"
    before = made.stat().st_mtime_ns
    assert run(tmp_path, source, "--part", "1/2", command=(sys.executable, "-c", UNPUBLISHED))[0] == -9
    assert made.stat().st_mtime_ns == before
    assert "7 of 7 fields are made\n" in status(tmp_path)
    assert run(tmp_path, source, "--part", "2/2")[0] == 0  # any of them
    assert digest(tmp_path) == expected
    status_, text = run(tmp_path, source, "--part", "1/2")
    assert status_ == 0 and "is there already" in text


def test_all_parts_at_once_and_one_of_them_twice(plate: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    source, expected = plate
    words = ["--input-dir", source, "--output-dir", tmp_path, *FLAGS]
    programs = [Program([*words, "--part", f"{number}/3"]) for number in (1, 1, 2, 3)]
    for program in programs:
        program.__enter__()
    try:
        ends = [(*program.process.communicate(timeout=120), program.process.returncode) for program in programs]
    finally:
        for program in programs:
            program.__exit__()
    assert sorted(end for *_, end in ends) in ([0, 0, 0, 0], [0, 0, 0, 75]), ends
    assert digest(tmp_path) == expected


def test_a_run_without_parts_and_another_number_of_them_go_on_from_there(plate: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    source, expected = plate
    assert run(tmp_path / "a", source, "--part", "1/3")[0] == 0
    with Lock(part_target(tmp_path / "a" / NAME, Part(2, 3))):
        assert run(tmp_path / "a", source)[0] == 75
    made = tmp_path / f"a/.{NAME}.partial/A/1/0/zarr.json"
    inode = made.stat().st_ino
    assert run(tmp_path / "a", source)[0] == 0
    assert (tmp_path / "a" / NAME / "A/1/0/zarr.json").stat().st_ino == inode
    assert digest(tmp_path / "a") == expected

    assert run(tmp_path / "b", source, command=DYING_COMMAND)[0] == -9
    inode = (tmp_path / f"b/.{NAME}.partial/A/1/0/zarr.json").stat().st_ino
    for number in (3, 1, 2):
        assert run(tmp_path / "b", source, "--part", f"{number}/3")[0] == 0
    assert (tmp_path / "b" / NAME / "A/1/0/zarr.json").stat().st_ino == inode
    assert digest(tmp_path / "b") == expected


def test_a_field_that_fails_is_told_by_its_part_and_the_others_stay(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_set(tmp_path / "in", WELLS)
    damage(tmp_path / "in/field-3.ome.tif", 3)  # A/1/0
    for _ in range(2):
        ends = [run(tmp_path / "out", tmp_path / "in", "--part", f"{number}/2") for number in (1, 2)]
        assert [end for end, _ in ends] == [1, 0]
        assert "1 of 7 fields failed, so the plate is not published" in ends[0][1]
        assert "field-3.ome.tif" in ends[0][1]
    assert "6 of 7 fields are made, missing: A/1/0" in status(tmp_path / "out")


def without_name(expected: dict[str, str]) -> dict[str, str]:
    return {name.removeprefix(f"{NAME}/"): content for name, content in expected.items()}


def test_parts_in_an_object_store_killed_and_told_of(plate: tuple[Path, dict[str, str]], store: Prefix) -> None:
    source, expected = plate

    def part(which: str, *command: str) -> int:
        return run(f"{store.address}/out", source, "--part", which, command=command, **store.environ)[0]

    assert part("1/2", *DYING_COMMAND) == -9
    assert part("2/2") == 0
    told = status(f"{store.address}/out")
    assert "5 of 7 fields are made, missing: A/1/1, A/2/0" in told
    assert part("1/2") == 0
    assert store.objects(f"out/{NAME}/") == without_name(expected)
    assert status(f"{store.address}/out") == "done: 1, not done: 0\n"


def test_what_parts_have_left_of_a_plate_in_a_store_is_cleaned(plate: tuple[Path, dict[str, str]], store: Prefix) -> None:
    source, _ = plate
    assert run(f"{store.address}/out", source, "--part", "2/2", "--output-layout", "root", **store.environ)[0] == 0
    assert any(key.startswith("C/12/0/") for key in store.objects("out/"))
    words = [sys.executable, "-m", "omezarr_proc", "clean", f"{store.address}/out"]
    assert subprocess.run(words, cwd=ROOT).returncode == 0
    assert store.objects("out/") == {}
