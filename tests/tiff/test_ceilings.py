"""Files that state far more than they hold are refused or begun soon, within the memory and the time there are."""

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import hostile
import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import sandbox, sandboxed, slide

from omezarr_proc import cli
from omezarr_proc.host.limits import MB, Limits
from omezarr_proc.model.errors import Exit, InputError, LimitError, OutOfTimeError
from omezarr_proc.plan.memory import metadata_bytes
from omezarr_proc.tiff.describe import planes
from omezarr_proc.tiff.describe.images import open_images
from omezarr_proc.tiff.describe.omexml import OmeImage, TiffData
from omezarr_proc.tiff.file import budget
from omezarr_proc.tiff.file.budget import Budget

REFERENCE = '<TiffData IFD="0"/>'


@pytest.mark.parametrize("name", hostile.COMPRESSIONS)
@pytest.mark.parametrize("flags", [("--dry-run",), ()])
def test_an_image_of_2_to_the_62_pixels_is_refused(
    name: str, flags: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = hostile.wide(tmp_path / "wide.tif", hostile.COMPRESSIONS[name])
    assert cli.main([path, "--output-dir", str(tmp_path / "out"), "--max-workers", "1", *flags]) == 1
    said = "".join(capsys.readouterr())
    assert "1 planes of 4611686018427387904 x 1 pixels, more than MAX_PIXELS=1099511627776" in said
    assert not list(tmp_path.glob("out/*"))


def test_chunks_are_counted_before_any_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = hostile.pages(tmp_path / "x.tif", 30)
    flags = [path, "--output-dir", str(tmp_path / "out"), "--dry-run"]
    assert cli.main([*flags, "--max-chunks", "30"]) == 0
    assert cli.main([*flags, "--max-chunks", "29"]) == 1
    assert "would have 30 chunks, more than MAX_CHUNKS=29" in capsys.readouterr().out


def test_more_than_a_thousand_images_must_be_asked_for(tmp_path: Path) -> None:
    plain = hostile.pages(tmp_path / "plain.tif", 1001, alike=False)
    ome = hostile.pages(tmp_path / "x.ome.tif", 1, text=hostile.ome(images=1001, data=REFERENCE))
    for path in (plain, ome):
        with pytest.raises(InputError, match=r"1001 images, more than the 1000.*IMAGES=all"):
            open_images(path)
    assert len(open_images(ome, images="all")) == 1001
    assert [image.width for image in open_images(plain, images=(0, 1000))] == [1, 1001]


def test_segments_of_a_page(tmp_path: Path) -> None:
    path = hostile.tiny_tiles(tmp_path / "tiles.tif", 40)
    assert open_images(path, budget=Budget(source=path, segments=1600))[0].width == 40
    with pytest.raises(LimitError, match=r"has 1600 segments .*MAX_SEGMENTS=1599"):
        open_images(path, budget=Budget(source=path, segments=1599))


@pytest.mark.parametrize("kind", ["pages", "images", "tiffdata", "padding"])
def test_every_step_of_opening_asks_for_time_and_memory(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "x.ome.tif")
    match kind:
        case "pages":
            hostile.pages(Path(path), 2000)
        case "images":
            hostile.pages(Path(path), 1, text=hostile.ome(images=900, data=REFERENCE))
        case "tiffdata":
            hostile.pages(Path(path), 1, text=hostile.ome(planes=2000, data=REFERENCE * 2000))
        case "padding":
            hostile.pages(Path(path), 1, text=hostile.ome(data=REFERENCE, padding=MB))
    with pytest.raises(LimitError, match=r"its metadata .* give it more memory"):
        open_images(path, budget=Budget(source=path, bytes=MB // 2), on_missing="fill")
    asked = iter(range(100_000))
    monkeypatch.setattr(budget, "time", SimpleNamespace(monotonic=lambda: next(asked)))
    open_images(path, budget=Budget(source=path, deadline=1e9), on_missing="fill")
    number = next(asked)
    assert number > (10 if kind == "padding" else 900)
    for late in range(0, number, max(1, number // 20)):
        asked = iter(range(100_000))
        with pytest.raises(OutOfTimeError):
            open_images(path, budget=Budget(source=path, deadline=late - 0.5), on_missing="fill")
        assert next(asked) == late + 1


def test_what_metadata_may_take_follows_from_the_limit() -> None:
    def most(megabytes: int) -> int:
        return metadata_bytes(
            Limits(memory_bytes=megabytes * MB, headroom_bytes=megabytes * MB, memory_source="a test", cpus=2, cpu_source="a test")
        )

    assert [most(64), most(93)] == [0, MB // 2]
    assert 64 * MB < most(256) < 128 * MB < most(512) < most(4096) < 2048 * MB


def test_who_has_too_little_memory_for_metadata_is_told_how_much_would_do() -> None:
    def limits(megabytes: int) -> Limits:
        return Limits(
            memory_bytes=megabytes * MB, headroom_bytes=(megabytes - 10) * MB, memory_source="a test", cpus=2, cpu_source="a test"
        )

    for megabytes, number in ((64, 1), (128, 40 * MB)):
        with pytest.raises(LimitError, match=r"give it \d+ MB at least") as refused:
            Budget.within(limits(megabytes), source="a.tif").need(number)
        least = int(re.findall(r"(\d+) MB at least", str(refused.value))[0])
        Budget.within(limits(least), source="a.tif").need(number)
        with pytest.raises(LimitError):
            Budget.within(limits(least - 1), source="a.tif").need(number)


def test_many_tiffdata_that_name_the_same_planes_are_placed_in_linear_time() -> None:
    """Plane by plane for each of them these would be 10^10 steps."""
    number = 100_000
    image = OmeImage(size={"X": 1, "Y": 1, "Z": number, "C": 1, "T": 1})
    image.tiffdata = [TiffData(ifd=n, count=number, c=0, z=0, t=0) for n in range(number)]
    assert planes.order(image, 1)[:2] == [(image.tiffdata[-1], number - 1), (image.tiffdata[-1], number)]
    image.tiffdata = [TiffData(ifd=0, count=None, c=0, z=n, t=0) for n in range(number)]
    assert [place[0].z for place in planes.order(image, 1) if place] == list(range(number))


@given(st.integers(1, 12), st.lists(st.tuples(st.integers(0, 11), st.sampled_from((None, 0, 1, 2, 5))), max_size=8))
def test_places_are_those_of_the_definition(total: int, named: list[tuple[int, int | None]]) -> None:
    image = OmeImage(size={"X": 1, "Y": 1, "Z": total, "C": 1, "T": 1})
    image.tiffdata = [TiffData(ifd=10 * n, count=count, c=0, z=z, t=0) for n, (z, count) in enumerate([(0, None), *named]) if z < total]
    expected: list[tuple[TiffData, int] | None] = [None] * total
    certain = [False] * total
    for data in image.tiffdata:
        end = data.z + (1 if data.count is None else data.count)
        for plane in range(data.z, total):
            if plane >= end and certain[plane]:
                break
            certain[plane] |= plane < end
            expected[plane] = (data, (data.ifd or 0) + plane - data.z) if plane < end or data.count is None else None
    assert planes.order(image, 1) == expected


def test_a_limit_that_no_image_fits_into_is_not_said_of_its_metadata(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    slide(tmp_path / "a.ome.tif", 64)
    assert cli.main([str(tmp_path / "a.ome.tif"), str(tmp_path / "out"), "--memory-limit-mb", "20", "--quiet"]) == Exit.NEEDS_MORE
    text = capsys.readouterr().err
    assert "a.ome.tif: the memory limit is too low for any image; give it " in text and "metadata" not in text


@pytest.mark.slow
@sandboxed
def test_metadata_that_do_not_fit_are_one_line_and_the_others_are_converted(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    hostile.pages(source / "xml.ome.tif", 1, text=hostile.ome(data=REFERENCE, padding=50 * MB))
    hostile.pages(source / "data.ome.tif", 1, text=hostile.ome(planes=10**6, data=REFERENCE * 10**6))
    hostile.tiny_tiles(source / "tiles.tif", 3163)
    companion = f'<OME {hostile.SPACE} UUID="urn:uuid:u1"><BinaryOnly MetadataFile="x.companion.ome" UUID="urn:uuid:u7"/></OME>'
    hostile.pages(source / "set.ome.tif", 1, text=companion)
    with open(source / "x.companion.ome", "wb") as file:
        file.truncate(20 << 30)
    slide(source / "slide.ome.tif", 600)
    command = [sys.executable, "-m", "omezarr_proc", "--input-dir", source, "--output-dir", tmp_path / "out", "--quiet"]
    status, text, report = sandbox(["256"], command, tmp_path / "report.json")
    assert (status, report["oom_kill"]) == (Exit.NEEDS_MORE, 0), text
    assert text.count("its metadata (pages, places of segments, OME-XML) take more than") == 4
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["slide.ome.zarr"]
