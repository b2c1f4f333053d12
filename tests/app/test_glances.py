"""A part that only glances at small files finds what one finds that opens all."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from plates import write_plate, write_set
from runs import digest, run, slide, stack

from omezarr_proc.app import glances
from omezarr_proc.app.collect import collect
from omezarr_proc.app.opening import open_inputs
from omezarr_proc.app.shares import Item, cut_inputs
from omezarr_proc.config.settings import Settings
from omezarr_proc.host.limits import Limits
from omezarr_proc.model.part import Part
from omezarr_proc.tiff.describe.glance import bytes_of_one_image
from omezarr_proc.tiff.file.budget import Budget

LIMITS = Limits(memory_bytes=1 << 30, headroom_bytes=1 << 30, memory_source="a test", cpus=1, cpu_source="a test")
SMALL = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("in")
    slide(folder / "slide.ome.tif", 900)
    write_plate(folder / "plate.ome.tif", [(0, 0, 0), (0, 1, 1), (1, 0, 2)])
    (folder / "set").mkdir()
    write_set(folder / "set", [(0, 0, 0), (0, 1, 1)])
    for number in range(SMALL):
        stack(folder / f"small{number}.ome.tif", 2, 64 + number)
    (folder / "small3-again.ome.tif").symlink_to("small3.ome.tif")
    (folder / "broken.ome.tif").write_bytes(b"II*\0no TIFF")
    tifffile.imwrite(folder / "plain.tif", np.zeros((40, 50), "uint8"))
    with tifffile.TiffWriter(folder / "two.ome.tif", ome=True) as file:
        for number in range(2):
            file.write(np.full((30, 40), number, "uint16"))
    with tifffile.TiffFile(stack(folder / "cut.ome.tif", 4, 64), mode="r+") as file:  # its first page and its OME-XML are whole
        file.pages[2].tags["StripOffsets"].overwrite(1 << 30)
    return folder


def named(items: list[Item]) -> Iterator[tuple[str, str]]:
    return ((str(item.entry.path), str(item.target)) for item in items)


def test_it_finds_the_same_datasets_with_about_the_same_work(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(part=Part(1, 2), initial_downsample=1, input_dir=folder, output_dir=tmp_path / "out")
    inputs = list(collect(settings, create_output=True))
    whole = cut_inputs(open_inputs(settings, inputs, LIMITS), settings)
    opened: list[str] = []
    monkeypatch.setattr(
        glances,
        "open_inputs",
        lambda settings, inputs, *more: open_inputs(settings, [opened.append(e.path.name) or e for e in inputs], *more),
    )
    found = glances.items_of_part(settings, inputs, LIMITS)
    assert not {f"small{number}.ome.tif" for number in range(SMALL)} & set(opened)
    cut = {(str(folder / "cut.ome.tif"), str(tmp_path / "out" / "cut.ome.zarr"))}  # which only opening tells
    assert set(named(found)) - cut == set(named(whole)) - {(str(folder / "cut.ome.tif"), "None")}
    works = {item.target: item.weight.work for item in whole}
    assert all(item.weight.work == pytest.approx(works[item.target], rel=0.01) for item in found if "small" in item.entry.path.name)


def test_where_parts_are_many_all_is_opened(folder: Path, tmp_path: Path) -> None:
    settings = Settings(part=Part(1, 16), input_dir=folder, output_dir=tmp_path / "out")
    inputs = list(collect(settings, create_output=True))
    assert glances.items_of_part(settings, inputs, LIMITS) == cut_inputs(open_inputs(settings, inputs, LIMITS), settings)


def test_what_is_not_plainly_one_image_is_opened(folder: Path) -> None:
    def seen(name: str) -> int | None:
        return bytes_of_one_image(str(folder / name), Budget(source=name))

    assert [seen(f"small{number}.ome.tif") for number in range(3)] == [2 * 64 * 64 * 2, 2 * 65 * 65 * 2, 2 * 66 * 66 * 2]
    of_set = next((folder / "set").iterdir()).relative_to(folder)
    assert [seen(str(name)) for name in ("plate.ome.tif", "broken.ome.tif", "plain.tif", "two.ome.tif", "gone.tif", of_set)] == [None] * 6


def test_parts_that_glance_make_what_one_run_makes(folder: Path, tmp_path: Path) -> None:
    flags = ("--quiet", "--input-dir", folder, "--max-workers", "1")
    assert run(*flags, "--output-dir", tmp_path / "one")[0] == 1
    said = [run(*flags, "--output-dir", tmp_path / "parts", "--part", f"{number}/2") for number in (1, 2)]
    text = "".join(line for _, line in said)
    assert text.count("broken.ome.tif") == text.count("cut.ome.tif") == 1, text
    assert digest(tmp_path / "parts") == digest(tmp_path / "one")
