"""Metadata: the sample of the format's description as a literal, ome-zarr-models as the judge, and the rules one by one."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import ome_zarr_models.v04.image
import ome_zarr_models.v05.image
import pytest
import zarr
from pyramids import pyramid

from omezarr_proc import __version__
from omezarr_proc.model.image import AxisSize, Channel, Image, Layout
from omezarr_proc.model.pyramid import Pyramid, axis_names
from omezarr_proc.ngff.attributes import channel_labels, fixed_windows, multiscales, omero, root_attributes
from omezarr_proc.ngff.colors import PALETTE, channel_colors, emission_color
from omezarr_proc.ngff.windows import Window

MICRO = AxisSize(0.5, "micrometer")

GOLDEN = """
{"multiscales": [{"version": "0.4", "name": "image", "type": "mean", "metadata": {"description": "2x2 mean"},
    "axes": [{"name": "c", "type": "channel"}, {"name": "y", "type": "space", "unit": "micrometer"},
             {"name": "x", "type": "space", "unit": "micrometer"}],
    "datasets": [
      {"path": "0", "coordinateTransformations":
          [{"type": "scale", "scale": [1.0, 0.5, 0.5]}, {"type": "translation", "translation": [0.0, 0.0, 0.0]}]},
      {"path": "1", "coordinateTransformations":
          [{"type": "scale", "scale": [1.0, 1.0, 1.0]}, {"type": "translation", "translation": [0.0, 0.25, 0.25]}]}]}],
  "omero": {"id": 1, "name": "image", "version": "0.4", "channels": [
      {"label": "R", "color": "FF0000", "active": true, "coefficient": 1, "family": "linear", "inverted": false,
       "window": {"min": 0.0, "max": 255.0, "start": 0.0, "end": 255.0}},
      {"label": "G", "color": "00FF00", "active": true, "coefficient": 1, "family": "linear", "inverted": false,
       "window": {"min": 0.0, "max": 255.0, "start": 0.0, "end": 255.0}},
      {"label": "B", "color": "0000FF", "active": true, "coefficient": 1, "family": "linear", "inverted": false,
       "window": {"min": 0.0, "max": 255.0, "start": 0.0, "end": 255.0}}],
    "rdefs": {"defaultT": 0, "defaultZ": 0, "model": "color"}}}
"""


def make_image(c: int = 1, z: int = 1, t: int = 1, rgb: bool = False, dtype: str = "uint16", **more: Any) -> Image:
    layout = Layout(height=769, width=1025, samples=c if rgb else 1, segment_height=769, segment_width=1025, dtype=dtype)
    values: dict[str, Any] = {"channels": (Channel(),) * c, "sizes": {"y": MICRO, "x": MICRO}, "stored_dtype": dtype} | more
    values = {"name": "image", "source": "image.ome.tiff"} | values
    return Image(
        files=("image.ome.tiff",),
        series=0,
        size_t=t,
        size_c=c,
        size_z=z,
        height=769,
        width=1025,
        dtype=dtype,
        rgb=rgb,
        layouts=(layout,),
        planes=(),
        **values,
    )


def levels_of(image: Image, d: int, most: int, least: int, axes: Any = "auto") -> Pyramid:
    return pyramid(image, d, most, least, names=axis_names(image, axes))


def attributes(image: Image, levels: Pyramid, bundled: bool = False) -> dict[str, Any]:
    windows = fixed_windows(image) or (Window(3.0, 4000.0, 10.0, 2000.0),) * image.size_c
    return root_attributes(multiscales(image, levels, "mean"), omero(image, windows, bundled), {"source": "ab", "downsample": 1})


def transforms(image: Image, levels: Pyramid) -> list[tuple[list[float], list[float]]]:
    """The (scale, translation) of each level."""
    datasets = multiscales(image, levels, "mean")["datasets"]
    return [(d["coordinateTransformations"][0]["scale"], d["coordinateTransformations"][1]["translation"]) for d in datasets]


def test_golden_sample() -> None:
    image = make_image(3, rgb=True, dtype="uint8")
    made = attributes(image, levels_of(image, 1, 2, 256), bundled=True)
    golden = json.loads(GOLDEN)
    ours = {"method": "omezarr_proc", "version": __version__}
    golden["multiscales"][0]["metadata"] |= ours
    newer = json.loads(json.dumps(golden))
    del newer["multiscales"][0]["version"], newer["omero"]["version"]
    assert made == {**golden, "ome": {"version": "0.5", **newer}, "omezarr_proc": {"source": "ab", "downsample": 1}}


@pytest.mark.parametrize("axes", ["auto", "czyx"])
@pytest.mark.parametrize("c, z, t, rgb", [(1, 1, 1, False), (3, 1, 1, True), (4, 5, 1, False), (2, 3, 2, False), (41, 1, 7, False)])
def test_both_forms_are_valid_and_agree(tmp_path: Path, c: int, z: int, t: int, rgb: bool, axes: Any) -> None:
    image = make_image(c, z, t, rgb, sizes={"y": MICRO, "x": MICRO, "z": AxisSize(2.0, "micrometer"), "t": AxisSize(0.1, "second")})
    levels = levels_of(image, 2, 0, 256, axes)
    made = attributes(image, levels, rgb)
    root = zarr.create_group(tmp_path / "a.ome.zarr", zarr_format=3, attributes=made)
    sizes = {"t": t, "c": c, "z": z}
    names = axis_names(image, axes)
    for level in levels.levels:
        shape = tuple((sizes | {"y": level.height, "x": level.width})[name] for name in names)
        root.create_array(str(level.index), shape=shape, chunks=shape, dtype="uint16", dimension_names=names)
    read = zarr.open_group(tmp_path / "a.ome.zarr", mode="r")
    newer = ome_zarr_models.v05.image.Image.from_zarr(read)
    scales = [d.coordinateTransformations[0].scale for d in newer.ome_attributes.multiscales[0].datasets]  # type: ignore[union-attr]
    assert [s[-1] for s in scales] == [0.5 * 2 * 2**k for k in range(len(levels.levels))]
    attrs = json.loads(json.dumps(read.attrs.asdict(), allow_nan=False))
    older = ome_zarr_models.v04.image.ImageAttrs.model_validate({"multiscales": attrs["multiscales"], "omero": attrs["omero"]})
    assert older.omero is not None and len(older.omero.channels) == c
    assert attrs["multiscales"][0].pop("version") == "0.4" and attrs["omero"].pop("version") == "0.4"
    assert attrs["ome"] == {"version": "0.5", "multiscales": attrs["multiscales"], "omero": attrs["omero"]}


@pytest.mark.parametrize(
    "t, z, axes, names",
    [
        (1, 1, "auto", "cyx"),
        (1, 2, "auto", "czyx"),
        (2, 1, "auto", "tcyx"),
        (2, 2, "auto", "tczyx"),
        (1, 1, "czyx", "czyx"),
        (2, 1, "czyx", "tczyx"),
    ],
)
def test_axes_only_where_there_is_something(t: int, z: int, axes: Any, names: str) -> None:
    assert "".join(axis_names(make_image(1, z, t), axes)) == names


def test_scales_are_powers_of_two_apart_and_clean() -> None:
    image = make_image(2, 3, 4, sizes={"x": AxisSize(0.325, "micrometer"), "z": AxisSize(1.1, "micrometer")})
    made = transforms(image, levels_of(image, 4, 3, 1))
    assert made == [
        ([1.0, 1.0, 1.1, 4.0, 1.3], [0.0, 0.0, 0.0, 1.5, 0.4875]),
        ([1.0, 1.0, 1.1, 8.0, 2.6], [0.0, 0.0, 0.0, 3.5, 1.1375]),
        ([1.0, 1.0, 1.1, 16.0, 5.2], [0.0, 0.0, 0.0, 7.5, 2.4375]),
    ]
    units = {a["name"]: a.get("unit") for a in multiscales(image, levels_of(image, 1, 1, 1), "mean")["axes"]}
    assert units == {"t": None, "c": None, "z": "micrometer", "y": None, "x": "micrometer"}


@pytest.mark.parametrize("size", [0.1, 1 / 3, 1e-7, 123456.789, 5e-324 * 2**60])
def test_scales_of_any_size_stay_exact(size: float) -> None:
    image = replace(make_image(sizes={"x": AxisSize(size, "meter")}), height=1 << 17, width=1 << 17)
    made = transforms(image, levels_of(image, 1, 0, 256))
    assert [scale[-1] for scale, _ in made] == [math.ldexp(size, k) for k in range(len(made))]
    assert all(scale[-1] > 0 for scale, _ in made)


def test_metadata_says_how_it_was_made() -> None:
    image = make_image(dtype="float64", stored_dtype="float32")
    made = multiscales(image, levels_of(image, 4, 0, 256), "nearest")
    assert made["type"] == "nearest"
    assert made["metadata"] == {
        "description": "base level 4x4 nearest of full resolution, then 2x2 nearest; float64 stored as float32",
        "method": "omezarr_proc",
        "version": __version__,
    }


@pytest.mark.parametrize("rgb, bundled", [(True, True), (True, False), (False, True), (False, False)])
def test_model_color_only_for_bundled_rgb(rgb: bool, bundled: bool) -> None:
    rdefs = omero(make_image(3, rgb=rgb), (Window(0, 1, 0, 1),) * 3, bundled)["rdefs"]
    assert rdefs.get("model") == ("color" if rgb and bundled else None)
    assert ("model" in rdefs) == (rgb and bundled)


@pytest.mark.parametrize("z, middle", [(1, 0), (2, 1), (5, 2), (60, 30)])
def test_default_plane_is_the_middle(z: int, middle: int) -> None:
    assert omero(make_image(1, z), (Window(0, 1, 0, 1),), False)["rdefs"] == {"defaultT": 0, "defaultZ": middle}


def test_at_most_six_channels_start_active() -> None:
    assert sum(c["active"] for c in omero(make_image(41), (Window(0, 1, 0, 1),) * 41, False)["channels"]) == 6
    assert all(c["active"] for c in omero(make_image(5), (Window(0, 1, 0, 1),) * 5, False)["channels"])


def test_alpha_is_there_but_not_shown() -> None:
    channels = omero(make_image(4, rgb=True), (Window(0, 1, 0, 1),) * 4, True)["channels"]
    assert [(c["label"], c["color"], c["active"]) for c in channels] == [
        ("R", "FF0000", True),
        ("G", "00FF00", True),
        ("B", "0000FF", True),
        ("Channel 3", "FFFFFF", False),
    ]


def test_all_windows_or_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        omero(make_image(3), (Window(0, 1, 0, 1),) * 2, False)


@pytest.mark.parametrize(
    ("names", "rgb", "labels"),
    [
        (["Brightfield"] * 4, True, ["Brightfield R", "Brightfield G", "Brightfield B", "Brightfield 3"]),
        (["a", "a", "b"], True, ["a R", "a G", "b"]),
        (["DAPI", "GFP", "DAPI"], False, ["DAPI 0", "GFP", "DAPI 2"]),
        (["A", "A", "A 0", "A 0 0"], False, None),
        (["Channel 1", None, " Channel 1 "], False, None),
    ],
)
def test_no_two_labels_are_alike(names: list[str | None], rgb: bool, labels: list[str] | None) -> None:
    found = channel_labels(make_image(len(names), rgb=rgb, channels=tuple(map(Channel, names))))
    assert len(set(found)) == len(names)
    assert labels is None or list(found) == labels


def test_an_image_without_a_name_has_that_of_its_file() -> None:
    image = make_image(name="  ", source="/a/b/slide.tif")
    assert multiscales(image, levels_of(image, 1, 3, 64), "mean")["name"] == "slide.tif"
    assert omero(image, [Window(0, 1, 0, 1)], False)["name"] == "slide.tif"
    assert multiscales(make_image(source="/a/b\udcff.tif", name=""), levels_of(image, 1, 3, 64), "mean")["name"].isascii()


def test_fixed_windows_for_8_bit_rgb_alone() -> None:
    assert fixed_windows(make_image(4, rgb=True, dtype="uint8")) == (Window(0.0, 255.0, 0.0, 255.0),) * 4
    assert fixed_windows(make_image(3, rgb=True, dtype="uint16")) is None
    assert fixed_windows(make_image(3, dtype="uint8")) is None


def test_labels() -> None:
    named = (Channel("DAPI"), Channel(" "), Channel())
    assert channel_labels(make_image(3, channels=named)) == ("DAPI", "Channel 1", "Channel 2")
    assert channel_labels(make_image(2, channels=())) == ("Channel 0", "Channel 1")
    assert channel_labels(make_image(3, rgb=True, channels=(Channel("Brightfield"),) * 3)) == (
        "Brightfield R",
        "Brightfield G",
        "Brightfield B",
    )
    assert channel_labels(make_image(3, rgb=True, channels=(Channel(),) * 3)) == ("R", "G", "B")
    assert channel_labels(make_image(3, rgb=True, channels=(Channel("red"), Channel("green"), Channel("blue")))) == ("red", "green", "blue")


def test_colors_in_order_of_knowledge() -> None:
    channels = (Channel(color="0000ff"), Channel(emission=520.0), Channel(), Channel(color="12AB34", emission=520.0), Channel())
    colors = channel_colors(make_image(5, channels=channels))
    assert colors[:2] == ("0000FF", "00FF00") and colors[3] == "12AB34"
    assert colors[2] == next(p for p in PALETTE if p not in ("0000FF", "00FF00")) and len(set(colors)) == 5
    assert channel_colors(make_image(1)) == ("FFFFFF",)
    assert channel_colors(make_image(1, channels=(Channel(color="FF8800"),))) == ("FF8800",)
    assert channel_colors(make_image(8)) == PALETTE and len(set(PALETTE)) == 8
    assert channel_colors(make_image(10)) == (*PALETTE, *PALETTE[:2])


def test_colors_that_say_nothing() -> None:
    white, black = Channel(color="FFFFFF"), Channel(color="000000")
    assert channel_colors(make_image(2, channels=(white, white))) == PALETTE[:2]
    assert channel_colors(make_image(2, channels=(white, Channel(color="FF0000")))) == ("FFFFFF", "FF0000")
    assert channel_colors(make_image(1, channels=(black,))) == ("FFFFFF",)
    assert channel_colors(replace(make_image(3, rgb=True), channels=(white,) * 3)) == ("FF0000", "00FF00", "0000FF")


@pytest.mark.parametrize(
    "dye, peak, color",
    [
        ("Alexa Fluor 405", 421, "8000FF"),
        ("DAPI", 461, "0000FF"),
        ("ECFP", 475, "0000FF"),
        ("FITC", 519, "00FF00"),
        ("Cy3", 570, "FFFF00"),
        ("Texas Red", 615, "FF8000"),
        ("Cy5", 670, "FF0000"),
        ("Cy7", 773, "FF00FF"),
    ],
)
def test_emission_colors_of_common_dyes(dye: str, peak: float, color: str) -> None:
    assert emission_color(peak) == color, dye
