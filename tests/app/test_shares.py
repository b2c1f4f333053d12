"""What of a batch is one part's: everything is somebody's, and what does not depend on the input stops a part."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from plates import write_plate
from runs import slide, stack

from omezarr_proc.app.collect import collect
from omezarr_proc.app.opening import open_inputs
from omezarr_proc.app.shares import chosen, cut_inputs, owned
from omezarr_proc.build.dataset import pyramid_of
from omezarr_proc.config.reading import settings_of
from omezarr_proc.config.settings import Settings
from omezarr_proc.host.limits import Limits
from omezarr_proc.model.address import Address
from omezarr_proc.model.errors import InputError, OutOfTimeError, ProcError
from omezarr_proc.model.part import Part

LIMITS = Limits(memory_bytes=1 << 30, headroom_bytes=1 << 30, memory_source="a test", cpus=1, cpu_source="a test")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("batch")
    (folder / "in").mkdir()
    slide(folder / "in" / "slide.ome.tif", 900)
    write_plate(folder / "in" / "plate.ome.tif", [(0, 0, 0), (0, 1, 1), (1, 0, 2)])
    for number in range(3):
        stack(folder / "in" / f"small{number}.ome.tif", 1, 64)
    (folder / "in" / "broken.tif").write_bytes(b"II*\0no TIFF")
    values = {"tile_size": 64, "initial_downsample": 1}
    return settings_of(values, input_dir=folder / "in", output_dir=folder / "out")


def opened(settings: Settings) -> Iterator:
    return open_inputs(settings, collect(settings, create_output=True), LIMITS)


@pytest.mark.parametrize("parts", [1, 3, 20])
def test_every_dataset_and_every_error_is_somebodys(settings: Settings, parts: int) -> None:
    found = cut_inputs(opened(settings), settings)
    pieces, whole, errors = set(), [], []
    for number in range(1, parts + 1):
        mine = owned(found, Part(number, parts))
        inputs = [entry for entry in collect(settings, create_output=True) if entry in mine]
        for entry, images in chosen(open_inputs(settings, inputs, LIMITS), mine):
            if isinstance(images, ProcError):
                errors.append(images)
                continue
            for target, shared in mine[entry].datasets.items():
                if shared.cut:
                    pieces |= {(target, piece) for piece in shared.pieces if piece.part == number}
                else:
                    whole.append(Path(target).name)
    small = ["small0.ome.zarr", "small1.ome.zarr", "small2.ome.zarr"]
    large = {1: [], 3: ["slide.ome.zarr"], 20: ["plate.ome.zarr", "slide.ome.zarr"]}[parts]  # that are cut
    assert sorted(whole) == sorted([*small, *({"plate.ome.zarr", "slide.ome.zarr"} - set(large))])
    assert {Path(target).name for target, _ in pieces} == set(large)
    for item in found:
        in_order = sorted((piece.start, piece.stop) for target, piece in pieces if target == item.target)
        assert [start for start, _ in in_order[1:]] == [stop for _, stop in in_order[:-1]]
        assert not in_order or in_order[-1][1] in {len([*cut.ends()]) for cut in item.weight.cuts}
    assert [type(error) for error in errors] == [InputError]


def test_what_goes_into_an_object_store_is_cut_between_shards(settings: Settings) -> None:
    in_store = replace(settings, output_dir=Address("s3://bucket/out"), sharding="on")
    found = cut_inputs(opened(in_store), in_store)
    (slide_,) = [item for item in found if item.entry.path.name == "slide.ome.tif"]
    (image,) = next(images for entry, images in opened(in_store) if entry == slide_.entry)
    pyramid = pyramid_of(image, in_store)
    for cut in slide_.weight.cuts:
        for level in pyramid.levels[: cut.last + 1]:
            ratio = pyramid.ratio(0, level.index)
            sides = zip(cut.lot, ratio, level.object, cut.shape, strict=True)
            assert all(lot % (factor * object_) == 0 or lot >= whole for lot, factor, object_, whole in sides)
    owners = [number for number in range(1, 4) for owned_ in owned(found, Part(number, 3)).values() for _ in owned_.datasets]
    assert len(owners) > 5


def test_what_may_pass_stops_a_part_since_it_would_cut_the_batch_otherwise(settings: Settings) -> None:
    entries = opened(settings)
    with pytest.raises(OutOfTimeError):
        cut_inputs(((entry, OutOfTimeError("out of time")) for entry, _ in entries), settings)
