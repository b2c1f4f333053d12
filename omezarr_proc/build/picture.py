"""A finished image as viewers show it first, as pixels of a picture.

Composed as the omero block says: active channels in their windows and colours, added up and clipped; the plane of defaultZ (the middle one)
and defaultT. RGB comes out as it is stored.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omezarr_proc.check.decoding import chunk_decoder
from omezarr_proc.check.spec import check
from omezarr_proc.model.errors import InputError
from omezarr_proc.store.read import Dataset, first_multiscale
from omezarr_proc.store.zarr_array import Array

LONGER_SIDE = 512  # pixels of the picture at least, where the image has so many
_AS_GOOD_AS_SQUARE = 0.01  # pixels that differ by no more in height and width are left as they are
_STRIP = 64  # rows that are composed at once


def compose(dataset: Dataset, longer: int = LONGER_SIDE) -> NDArray[np.uint8]:
    """The picture `[h, w, 3]`, pixel by pixel of a level, `longer` pixels along its longer side at least where the image has so many.

    Raises InputError where the metadata does not say how, or a chunk is damaged.
    """
    wrong = [finding for finding in check(dataset) if finding.kind == "spec"]
    channels = dataset.ome.get("omero", {}).get("channels") if not wrong else None
    axes = dataset.axes
    if not channels or axes[-2:] != ("y", "x") or not set(axes) <= set("tczyx"):
        reason = wrong[0].text if wrong else "it has no omero block, or other axes than t, c, z, y, x"
        raise InputError(f"no preview can be made: {reason}", source=dataset.path)
    level = next((a for a in reversed(dataset.arrays) if max(a.shape[-2:]) >= longer), dataset.arrays[0])
    step = max(1, max(level.shape[-2:]) // longer)
    planes = _Planes(dataset, level, step)
    picture = np.empty((-(-level.shape[-2] // step), -(-level.shape[-1] // step), 3), np.uint8)
    for row in range(level.grid[-2]):  # in float64 all at once would take 25 MB, and several times
        part = picture[planes.rows(row)]
        light = np.zeros(part.shape, np.float64)
        for index, channel in enumerate(channels):
            if channel.get("active", True):
                _add(light, planes.read(index, row), channel)
        np.clip(light, 0, 1, out=light)
        light *= 255
        np.rint(light, out=part, casting="unsafe")
    return picture


class _Planes:
    """The planes that are shown, of one level, every `step`-th pixel (a level is larger than wanted only where there is none between)."""

    def __init__(self, dataset: Dataset, level: Array, step: int) -> None:
        rdefs = dataset.ome.get("omero", {}).get("rdefs")
        rdefs = rdefs if isinstance(rdefs, dict) else {}
        sizes = dict(zip(dataset.axes, level.shape, strict=True))
        wanted = {"t": rdefs.get("defaultT"), "z": rdefs.get("defaultZ", sizes.get("z", 1) // 2)}
        self._index = {name: min(max(value if isinstance(value, int) else 0, 0), sizes.get(name, 1) - 1) for name, value in wanted.items()}
        self._axes, self._level, self._step = dataset.axes, level, step
        self._path, self._has_all = dataset.path / level.path, dataset.own is not None
        try:
            self._decode = chunk_decoder(dataset, level)
        except Exception as error:  # whatever zarr says to codecs that it does not know, or to their settings
            raise InputError(f"no preview can be made: {error}", source=self._path) from error

    def rows(self, row: int) -> slice:
        """The rows of the picture that come from a row of chunks."""
        size = self._level.chunks[-2]
        return slice(-(-row * size // self._step), -(-min((row + 1) * size, self._level.shape[-2]) // self._step))

    def read(self, channel: int, row: int) -> NDArray[Any]:
        """One channel of a row of chunks: `[h, w]`."""
        index = self._index | {"c": channel}
        leading = [divmod(index[name], size) for name, size in zip(self._axes[:-2], self._level.chunks, strict=False)]
        inside = tuple(within for _, within in leading)
        step, (height, width) = self._step, self._level.chunks[-2:]
        parts = []
        for column in range(self._level.grid[-1]):
            place = (*(number for number, _ in leading), row, column)
            pixels = self._chunk(place)[inside]
            parts.append(pixels[-row * height % step :: step, -column * width % step :: step].copy())
        return np.concatenate(parts, axis=1)

    def _chunk(self, place: tuple[int, ...]) -> NDArray[Any]:
        """A chunk of the level; one that is absent is its fill value, as Zarr says, but in a dataset of ours, which has all of them."""
        try:
            return self._decode(place)
        except FileNotFoundError as error:
            if self._has_all:
                raise self._unread(place, "it is missing") from error
            sizes = zip(place, self._level.chunks, self._level.shape, strict=True)
            shape = [min(size, end - number * size) for number, size, end in sizes]
            return np.full(shape, float(self._level.fill_value or 0), self._level.dtype)
        except Exception as error:  # whatever a codec says to damaged bytes
            raise self._unread(place, str(error)) from error

    def _unread(self, place: tuple[int, ...], why: str) -> InputError:
        chunk = self._path / self._level.chunk_name(place)
        return InputError(f"a chunk cannot be read: {why}", source=chunk, hint="run validate --deep")


def _add(picture: NDArray[np.float64], plane: NDArray[Any], channel: dict[str, Any]) -> None:
    """Add a channel in its window and colour; NaN is black."""
    start, end = (float(channel["window"][key]) for key in ("start", "end"))
    primaries = bytes.fromhex(channel["color"])
    for top in range(0, len(plane), _STRIP):
        part = plane[top : top + _STRIP].astype(np.float64)
        shown = np.nan_to_num((np.clip(part, start, max(start, end)) - start) / ((end - start) or 1.0))
        if channel.get("inverted"):
            shown = 1 - shown
        for primary, value in enumerate(primaries):
            if value:
                picture[top : top + _STRIP, :, primary] += shown * (value / 255)


def aspect(dataset: Dataset) -> float:
    """How many times as high as wide a pixel is, by the scales of the largest level; 1 where they do not say, or do so in two units."""
    multiscale = first_multiscale(dataset.ome)
    try:
        units = {axis.get("unit") for axis in multiscale["axes"][-2:]}
        scale = next(t["scale"] for t in multiscale["datasets"][0]["coordinateTransformations"] if t["type"] == "scale")
        y, x = (float(value) for value in scale[-2:])
        found = y / x
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, StopIteration, ZeroDivisionError):
        return 1.0
    return found if len(units) == 1 and 0 < found < math.inf else 1.0


def fitted(height: int, width: int, tall: float, longer: int = 0) -> tuple[int, int]:
    """The height and width, in square pixels, of a picture of height x width pixels that are `tall` times as high as wide.

    Its longer side has never more pixels than there are along either side, nor than `longer` where that is not 0.
    """
    if abs(tall - 1) <= _AS_GOOD_AS_SQUARE:
        tall = 1.0
    most = min(max(height, width), longer or max(height, width))
    each = most / max(height * tall, width)
    return max(1, round(height * tall * each)), max(1, round(width * each))
