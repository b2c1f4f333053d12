"""Whether the metadata of an OME-Zarr image is right: pure checks of values, no pixels, no files.

Rules: https://ngff.openmicroscopy.org/0.4/, https://ngff.openmicroscopy.org/0.5/ and 0.6, and what web viewers need beyond them.

Not judged: further entries of `multiscales`, further coordinate systems, transformations other than scale and translation.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from omezarr_proc.check.arrays import check_arrays
from omezarr_proc.check.finding import Finding, is_number
from omezarr_proc.check.systems import check_systems
from omezarr_proc.check.viewers import check_omero
from omezarr_proc.ngff.units import LENGTHS, TIMES
from omezarr_proc.store.read import Dataset, first_multiscale, is_inside, level_paths
from omezarr_proc.store.zarr_array import Array, Json

_TYPES = ("time", "channel", "space")
_UNITS = {"time": TIMES, "space": LENGTHS}
_KINDS = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
_SUPERSEDED = ("0.1", "0.2", "0.3")


def check(dataset: Dataset) -> list[Finding]:
    """Everything that is wrong with the metadata of `dataset`, once each: what both of their forms have is told of the newer one."""
    found = list(dict.fromkeys(_check(dataset)))
    return [finding for finding in found if replace(finding, where=f"ome.{finding.where}") not in found]


def other_version(d: Dataset) -> str | None:
    """The version of NGFF where its rules are not known here; None for 0.4, 0.5 and 0.6, and for what is nothing at all."""
    multiscale = first_multiscale(d.ome)
    axes, datasets = multiscale.get("axes"), multiscale.get("datasets")
    if d.ome is not d.attributes:
        newer = str(d.ome.get("version"))
        return newer if newer.startswith("0.6") and newer != "0.6" else None  # a draft
    if not multiscale or (isinstance(axes, list) and any(isinstance(axis, dict) for axis in axes)):
        return None
    transformed = isinstance(datasets, list) and any("coordinateTransformations" in e for e in datasets if isinstance(e, dict))
    version = multiscale.get("version")
    if version in _SUPERSEDED:
        return str(version)
    return None if version is not None or transformed else "0.3" if axes else "0.1"


def _check(d: Dataset) -> Iterator[Finding]:
    attributes = d.attributes
    nested = isinstance(attributes.get("ome"), dict) and "multiscales" in attributes["ome"]
    if not nested and "multiscales" not in attributes:
        yield Finding("spec", "multiscales", "has no metadata of an image", "an image has multiscales", "name the folder of one image")
        return
    for where, problem in d.problems:
        yield Finding("spec", where, problem, "every path of multiscales is an array of the same Zarr version")
    if nested:
        yield from _form(d, attributes["ome"], "ome.", "0.6" if attributes["ome"].get("version") == "0.6" else "0.5")
    if "multiscales" in attributes:
        yield from _form(d, attributes, "", "0.4")
    yield from _both_forms(d, nested)
    yield from check_arrays(d)


def _both_forms(d: Dataset, nested: bool) -> Iterator[Finding]:
    flat, ome = d.attributes, d.attributes.get("ome")
    if d.zarr_format == 2:
        if nested:
            yield Finding("spec", "ome", "NGFF 0.5 metadata in Zarr v2", "NGFF 0.5 is defined for Zarr v3 only", "remove ome from .zattrs")
        return
    if not nested:
        yield Finding("spec", "ome", "is missing", "Zarr v3 has its metadata under attributes.ome (NGFF 0.5)", "add NGFF 0.5 metadata")
        return
    if "multiscales" not in flat:
        yield Finding("viewers", "multiscales", "no NGFF 0.4 metadata beside ome", "Neuroglancer's channel reader wants them", "add them")
        return
    assert isinstance(ome, dict)  # what nested means
    for key in ("multiscales", "omero"):
        one, other = ((first_multiscale(form) if key == "multiscales" else form.get(key)) for form in (flat, ome))
        if _without_version(one) != _without_version(other):
            yield Finding("viewers", key, f"differs from ome.{key}", "both forms of the metadata say the same", "copy one to the other")


def _without_version(value: Any) -> Any:
    return {key: entry for key, entry in value.items() if key != "version"} if isinstance(value, dict) else value


def _form(d: Dataset, ome: Json, prefix: str, version: str) -> Iterator[Finding]:
    multiscale, where = first_multiscale(ome), f"{prefix}multiscales[0]"
    if not multiscale:
        yield Finding("spec", where, "is missing", "multiscales is a list of objects, at least one")
        return
    yield from check_systems(ome["multiscales"][0], version, where)
    found = ome.get("version") if prefix else multiscale.get("version")
    if found != version:
        place = "ome.version" if prefix else f"{where}.version"
        yield Finding("spec", place, f"{found!r}", f"the version here is {version!r}", "correct the version")
    for key, kind in (("name", str), ("type", str), ("metadata", dict)):
        if not isinstance(multiscale.get(key), kind):
            problem = f"{multiscale[key]!r}" if key in multiscale else "is missing"
            yield Finding("viewers", f"{where}.{key}", problem, "name, type (the downsampling method) and metadata (an object) are there")
    if len(ome["multiscales"]) > 1:
        yield Finding(
            "viewers", f"{prefix}multiscales", "has several entries", "one image has one: viewers show the first", "remove the others"
        )
    axes = multiscale.get("axes")
    yield from _axes(axes, f"{where}.axes")
    names = [axis.get("name") for axis in axes if isinstance(axis, dict)] if isinstance(axes, list) else []
    yield from _datasets(d, multiscale, names, where)
    yield from check_omero(d, ome.get("omero"), names, f"{prefix}omero")


def _axes(axes: Any, where: str) -> Iterator[Finding]:
    if not isinstance(axes, list) or not all(isinstance(axis, dict) and isinstance(axis.get("name"), str) for axis in axes):
        yield Finding("spec", where, "is not a list of objects with names", "every axis has a name and a type")
        return
    names, types = [axis["name"] for axis in axes], [axis.get("type") for axis in axes]
    if not 2 <= len(axes) <= 5 or types.count("space") not in (2, 3):
        yield Finding("spec", where, f"{''.join(names)} of types {types}", "2 to 5 axes, of which 2 or 3 are of type space")
    if len(set(names)) < len(names):
        yield Finding("spec", where, f"{names}", "the names of axes are unique")
    order = [_TYPES.index(kind) if kind in _TYPES else 1 for kind in types]
    if order != sorted(order) or types.count("time") > 1 or sum(kind != "time" and kind != "space" for kind in types) > 1:
        yield Finding("spec", where, f"{types}", "at most one of type time comes first, then at most one of type channel, then space")
    for index, axis in enumerate(axes):
        kind, wanted = axis.get("type"), _KINDS.get(axis["name"])
        if not isinstance(kind, str | None):
            yield Finding("spec", f"{where}[{index}].type", f"{kind!r}", "the type of an axis is a text")
        elif wanted and kind != wanted:
            yield Finding("viewers", f"{where}[{index}].type", f"{kind!r} of {axis['name']}", f"{axis['name']} is of type {wanted}")
        if "unit" in axis and not (isinstance(axis["unit"], str) and axis["unit"]):
            yield Finding("spec", f"{where}[{index}].unit", f"{axis['unit']!r}", "a unit is a name such as micrometer", "leave it out")
        elif (unit := axis.get("unit")) and unit not in _UNITS.get(str(axis.get("type")), ()):
            rule = "units are those of UDUNITS-2 that NGFF lists: micrometer, second, ..., no symbols, and none of a channel"
            problem = f"{unit!r} of an axis of type {axis.get('type')!r}"
            yield Finding("viewers", f"{where}[{index}].unit", problem, rule, "correct the unit")
    if "".join(names) not in ("cyx", "czyx", "tcyx", "tczyx"):
        yield Finding("viewers", where, f"{names}", "axes are c, y, x, with z and t where there are several planes")


def _datasets(d: Dataset, multiscale: Json, axes: Sequence[Any], where: str) -> Iterator[Finding]:
    entries = multiscale.get("datasets")
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        yield Finding("spec", f"{where}.datasets", "is no list of objects", "datasets has an entry for each level, at least one")
        return
    arrays = {array.path: array for array in d.arrays}
    known = set(level_paths(d.ome))
    placed: list[tuple[Array, list[float], list[float]]] = []
    for index, entry in enumerate(entries):
        place, path = f"{where}.datasets[{index}]", entry.get("path")
        if not isinstance(path, str) or not is_inside(path):
            yield Finding("spec", f"{place}.path", f"{path!r}", "path names an array below the root")
            continue
        if path not in known:
            yield Finding("spec", f"{place}.path", f"{path!r} is not a level of the other form", "both forms name the same levels")
        array = arrays.get(path)
        if array and len(array.shape) != len(axes):
            yield Finding("spec", path, f"has {len(array.shape)} dimensions for {len(axes)} axes", "one axis for each dimension")
            continue
        wrong = [*_transformations(entry.get("coordinateTransformations"), len(axes), f"{place}.coordinateTransformations")]
        yield from wrong
        if array and not any(finding.kind == "spec" for finding in wrong):
            steps = entry["coordinateTransformations"]
            shift = steps[1]["translation"] if len(steps) > 1 else [0.0] * len(axes)
            placed.append((array, steps[0]["scale"], shift))
    if len({entry.get("path") for entry in entries if isinstance(entry.get("path"), str)}) < len(entries):
        yield Finding("spec", f"{where}.datasets", "a path comes twice", "every level has its own path")
    if len(placed) == len(entries):
        yield from _levels(placed, axes, [d.origin(str(name)) for name in axes], where)


def _transformations(found: Any, ndim: int, where: str) -> Iterator[Finding]:
    rule = "first one scale, then at most one translation, each with a number for each axis"
    if not isinstance(found, list) or not all(isinstance(step, dict) for step in found):
        yield Finding("spec", where, "is missing", rule)
        return
    kinds = [step.get("type") for step in found]
    if kinds not in (["scale"], ["scale", "translation"]):
        yield Finding("spec", where, f"{kinds}", rule)
        return
    for kind, step in zip(kinds, found, strict=True):
        values = step.get(str(kind))
        if not isinstance(values, list) or len(values) != ndim or not all(is_number(value) for value in values):
            yield Finding("spec", f"{where}.{kind}", f"{values!r}", rule)
        elif kind == "scale" and min(values) <= 0:
            yield Finding("spec", f"{where}.scale", f"{values}", "a scale is above 0")
    if kinds == ["scale"]:
        yield Finding("viewers", where, "has no translation", "without it the levels jump in Neuroglancer")


def _levels(
    placed: Sequence[tuple[Array, list[float], list[float]]], axes: Sequence[Any], origin: Sequence[int], where: str
) -> Iterator[Finding]:
    """How the levels lie on one another; `placed`: each with its scale and its translation; `origin`: of each axis (`Dataset.origin`)."""
    first, scale0, shift0 = placed[0]
    before = [1] * len(axes)
    for index, (array, scale, shift) in enumerate(placed):
        if index and any(a > b for a, b in zip(array.shape, placed[index - 1][0].shape, strict=True)):
            yield Finding("spec", array.path, f"is larger than level {index - 1}", "datasets go from the largest level to the smallest")
        if array.dtype != first.dtype:
            yield Finding("viewers", array.path, f"is {array.dtype}, level 0 {first.dtype}", "all levels have one type")
        for axis, name in enumerate(axes):
            factor = 1 << index if name in ("y", "x") else 1
            if name == "z":
                factor = _z_factor(before[axis], array.shape[axis], first.shape[axis], scale[axis] / scale0[axis])
            before[axis] = factor
            if array.shape[axis] != -(-first.shape[axis] // factor):
                yield Finding("viewers", array.path, f"{name} is {array.shape[axis]} of {first.shape[axis]}", "sizes halve, rounded up")
            if scale[axis] != scale0[axis] * factor:
                problem = f"scale of {name} is {scale[axis]!r}, that of level 0 {scale0[axis]!r}"
                yield Finding("viewers", f"{where}.datasets[{index}]", problem, "scales are powers of two apart, exactly")
            elif not _is_centred(scale[axis], shift[axis], name in ("z", "y", "x"), scale0[axis], shift0[axis], origin[axis]):
                problem = f"translation of {name} is {shift[axis]!r} at scale {scale[axis]!r}"
                rule = "the middle of the full-resolution pixels that the first pixel stands for"
                yield Finding("viewers", f"{where}.datasets[{index}]", problem, rule)


def _z_factor(before: int, size: int, full: int, scale: float) -> int:
    """How many planes of level 0, of `full`, one of a level of `size` spans: as many as `before`, or twice that. `scale` settles ties."""
    fitting = [factor for factor in (before, 2 * before) if size == -(-full // factor)] or [before]
    return fitting[-1] if scale == fitting[-1] else fitting[0]


def _is_centred(scale: float, shift: float, is_space: bool, scale0: float, shift0: float, origin: int) -> bool:
    """Whether translation = pixel * (origin + (factor - 1) / 2), for a factor that is a power of two and the same for level 0."""
    if not is_space:
        return math.isclose(shift, scale * origin, rel_tol=1e-9)
    pixel0, pixel = ((a - 2 * b) / (1 - 2 * origin) for a, b in ((scale0, shift0), (scale, shift)))
    if pixel <= 0 or not math.isclose(pixel0, pixel, rel_tol=1e-9):
        return False
    power = math.log2(scale0 / pixel0)
    return math.isclose(power, round(power), abs_tol=1e-9) and power > -0.5
