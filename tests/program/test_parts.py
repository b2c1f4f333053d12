"""Parts of a batch: in any order, repeated, at once, killed, on machines of other sizes, they make what one run makes, byte for byte."""

import random
import subprocess
import sys
from pathlib import Path

import pytest
from parts import FLAGS, UNPUBLISHED, run
from runs import DYING_COMMAND, ROOT, Program, digest, slide, stack, volume

from omezarr_proc.model.part import Part
from omezarr_proc.publish.hidden import hidden_files, part_target
from omezarr_proc.publish.lock import Lock

NAME = "slide.ome.zarr"


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A slide, and what one run makes of it."""
    folder = tmp_path_factory.mktemp("one")
    (folder / "in").mkdir()
    slide(folder / "in" / "slide.ome.tif", 1200)
    assert run(folder / "out", folder / "in")[0] == 0
    return folder / "in", digest(folder / "out")


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A batch of all kinds, one of which cannot be opened, and what one run makes of it."""
    folder = tmp_path_factory.mktemp("many")
    source = folder / "in"
    source.mkdir()
    slide(source / "slide.ome.tif", 900)
    stack(source / "stack.ome.tif", 12, 300)
    volume(source / "volume.ome.tif", 70, 200)
    for number in range(4):
        stack(source / f"small{number}.ome.tif", 1, 100 + number)
    (source / "broken.tif").write_bytes(b"II*\0no TIFF")
    assert run(folder / "out", source)[0] == 1
    return source, digest(folder / "out")


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 8))])
def test_parts_in_any_order_and_of_any_memory_make_what_one_run_makes(many: tuple[Path, dict[str, str]], tmp_path: Path, seed: int) -> None:
    source, expected = many
    chance = random.Random(seed)
    of = 3 if seed == 0 else chance.choice([2, 5, 16])
    order = [*range(1, of + 1), *chance.choices(range(1, of + 1), k=seed and 4)]
    chance.shuffle(order)
    broken = 0
    for number in order:
        status, text = run(tmp_path, source, "--part", f"{number}/{of}", "--memory-limit-mb", chance.choice(["120", "200", "3000"]))
        broken += status == 1 and "broken.tif" in text
        assert status in (0, 1), text
        assert status == 0 or "broken.tif" in text
    assert broken >= 1
    assert digest(tmp_path) == expected


def test_a_part_that_is_killed_is_repeated_and_who_dies_publishing_too(one: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    source, expected = one
    assert run(tmp_path, source, "--part", "1/2", command=DYING_COMMAND)[0] == -9
    assert run(tmp_path, source, "--part", "2/2")[0] == 0
    status, text = run(tmp_path, source, "--part", "1/2", command=(sys.executable, "-c", UNPUBLISHED))
    assert status == -9
    assert "goes on with what an earlier run has finished" in text
    assert not (tmp_path / NAME).exists()
    assert run(tmp_path, source, "--part", "2/2")[0] == 0  # any of them
    assert digest(tmp_path) == expected
    for number in (1, 2):
        status, text = run(tmp_path, source, "--part", f"{number}/2")
        assert status == 0
        assert "is there already" in text
    assert digest(tmp_path) == expected


def test_all_parts_at_once_and_one_of_them_twice(one: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    source, expected = one
    words = ["--input-dir", source, "--output-dir", tmp_path, *FLAGS]
    programs = [Program([*words, "--part", f"{number}/3"]) for number in (1, 1, 2, 3)]
    for program in programs:
        program.__enter__()
    try:
        ends = [(*program.process.communicate(timeout=120), program.process.returncode) for program in programs]
    finally:
        for program in programs:
            program.__exit__()
    assert sorted(status for *_, status in ends) in ([0, 0, 0, 0], [0, 0, 0, 75]), ends
    assert digest(tmp_path) == expected


def test_parts_of_another_key_are_refused(one: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    source, expected = one
    assert run(tmp_path, source, "--part", "1/2")[0] == 0
    status, text = run(tmp_path, source, "--part", "2/2", "--compression-level", "1")
    assert status == 73
    assert "part 1/2 of this dataset has been worked on by another version, with other settings" in text
    assert run(tmp_path, source, "--part", "2/2")[0] == 0
    assert digest(tmp_path) == expected


def test_a_run_without_parts_goes_on_from_them_but_not_beside_them(one: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    source, expected = one
    assert run(tmp_path, source, "--part", "1/3")[0] == 0
    with Lock(part_target(tmp_path / NAME, Part(2, 3))):
        status, text = run(tmp_path, source)
    assert status == 75
    assert "works on part 2/3 of this dataset" in text
    status, text = run(tmp_path, source)
    assert status == 0
    assert "goes on with what an earlier run has finished" in text
    assert digest(tmp_path) == expected


def test_parts_go_on_from_a_run_without_and_from_another_number_of_them(one: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    source, expected = one
    assert run(tmp_path, source, command=DYING_COMMAND)[0] == -9
    assert run(tmp_path, source, "--part", "1/5")[0] == 0
    for number in (2, 1):
        status, text = run(tmp_path, source, "--part", f"{number}/2")
        assert status == 0
        assert "goes on with what" in text
    assert digest(tmp_path) == expected


def test_a_dataset_is_replaced_when_all_parts_of_the_new_one_are_there(one: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    source, expected = one
    assert run(tmp_path, source, "--compression-level", "1")[0] == 0
    before = digest(tmp_path / NAME)
    assert run(tmp_path, source, "--part", "2/2")[0] == 0
    assert digest(tmp_path / NAME) == before
    assert run(tmp_path, source, "--part", "1/2")[0] == 0
    assert digest(tmp_path) == expected


def test_a_folder_that_is_the_dataset_is_made_in_parts_too(one: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    source, expected = one
    for number in (2, 1):
        assert run(tmp_path, source, "--part", f"{number}/2", "--output-layout", "root")[0] == 0
    assert digest(tmp_path) == {name.removeprefix(f"{NAME}/"): content for name, content in expected.items()}


def test_a_part_without_a_share_does_nothing(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    stack(tmp_path / "in" / "a.ome.tif", 1, 64)
    status, text = run(tmp_path / "out", tmp_path / "in", "--part", "2/2")
    assert status == 0
    assert "part 2/2: 0 whole datasets and pieces of 0 others, of 1 in all" in text
    assert list((tmp_path / "out").iterdir()) == []


def test_what_parts_have_left_is_cleaned(one: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    source, _ = one
    assert run(tmp_path, source, "--part", "1/2")[0] == 0
    assert {role for _, role, _ in hidden_files(tmp_path)} == {"partial", "record", "part-1-of-2.record"}
    done = subprocess.run([sys.executable, "-m", "omezarr_proc", "clean", tmp_path], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout
    assert list(tmp_path.iterdir()) == []
