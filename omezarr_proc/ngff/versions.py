"""The metadata of NGFF 0.5 as those of 0.6, and back. Pure; what is not of the version stays, so both ways together change nothing.

0.6 names the axes as a coordinate system, and the transformation of a level says from where to where it leads: from the array into that
system. Rules: https://ngff.openmicroscopy.org/0.6/, "coordinateSystems" and "multiscales". Elsewhere only the number differs.
"""

from typing import Any

Json = dict[str, Any]

VERSIONS = ("0.5", "0.6")
_PHYSICAL = "physical"  # the coordinate system's name, as in the examples of 0.6
_OF_KEY = "-ngff-0.6"


class UnsaidError(ValueError):
    """What is stated cannot be said in the other version; the text says what it is."""


def versioned_key(key: str, version: str) -> str:
    """The key of a dataset in a version: that of 0.5, which other versions have something behind, so that each is known from the other."""
    return key.removesuffix(_OF_KEY) + (_OF_KEY if version == "0.6" else "")


def in_version(attributes: Json, version: str) -> Json:
    """The attributes of a group (image, label, plate, well, ...) in another version, with our own key where it is there.

    Raises UnsaidError where they are of neither version, or say what the other one cannot.
    """
    ome = attributes.get("ome")
    if not isinstance(ome, dict) or ome.get("version") not in VERSIONS:
        raise UnsaidError("has no metadata of NGFF 0.5 or 0.6")
    changed = {key: _numbered(value, version) for key, value in ome.items()} | {"version": version}
    if isinstance(found := ome.get("multiscales"), list):
        changed["multiscales"] = [(as_06 if version == "0.6" else _as_05_whole)(entry) for entry in found]
    own = attributes.get("omezarr_proc")
    keyed = {"omezarr_proc": own | {"key": versioned_key(str(own["key"]), version)}} if isinstance(own, dict) and "key" in own else {}
    return attributes | {"ome": changed} | keyed


def as_06(multiscale: Any) -> Json:
    """An entry of `multiscales` of 0.5 as one of 0.6. Raises UnsaidError."""
    match multiscale:
        case {"coordinateSystems": _}:
            return dict(multiscale)
        case {"axes": [*axes], "datasets": [*datasets]} if "coordinateTransformations" not in multiscale:
            levels = [_level_06(entry) for entry in datasets]
            return _renamed(multiscale | {"datasets": levels}, "axes", "coordinateSystems", [{"name": _PHYSICAL, "axes": axes}])
    raise UnsaidError("multiscales has no axes and datasets, or coordinateTransformations of all levels, which are not taken over")


def as_05(multiscale: Json) -> Json:
    """An entry of `multiscales` of 0.6 as one of 0.5: how its levels lie in their own coordinate system, and nothing of other systems.

    Raises UnsaidError where that cannot be read.
    """
    match multiscale:
        case {"coordinateSystems": [*systems], "datasets": [*datasets]}:
            levels = [_level_05(entry) for entry in datasets]
            names = {output for _, _, output in levels}
            axes = [system.get("axes") for system in systems if isinstance(system, dict) and {system.get("name")} == names]
            if len(axes) == 1 and isinstance(axes[0], list):
                entries = [_scaled(entry, steps, len(axes[0])) for entry, steps, _ in levels]
                return _renamed(multiscale | {"datasets": entries}, "coordinateSystems", "axes", axes[0])
    raise UnsaidError("multiscales has no coordinate system into which all levels lead")


def _as_05_whole(multiscale: Any) -> Json:
    """The same, where nothing is lost by it."""
    if not isinstance(multiscale, dict):
        raise UnsaidError("multiscales is no list of objects")
    if "coordinateSystems" not in multiscale:
        return multiscale
    found = as_05(multiscale)
    if len(multiscale["coordinateSystems"]) > 1 or "coordinateTransformations" in multiscale:
        raise UnsaidError("multiscales has further coordinate systems, for which NGFF 0.5 has no words")
    return found


def _level_06(entry: Any) -> Json:
    step: Json
    match entry:
        case {"path": str(path), "coordinateTransformations": [{"type": "scale", "scale": _} as scale]}:
            step = dict(scale)
        case {"path": str(path), "coordinateTransformations": [{"type": "scale", "scale": _}, {"type": "translation", "translation": _}]}:
            step = {"type": "sequence", "transformations": entry["coordinateTransformations"]}
        case _:
            raise UnsaidError("a level has other transformations than a scale and a translation, which are not taken over")
    return dict(entry) | {"coordinateTransformations": [step | {"input": {"path": path}, "output": {"name": _PHYSICAL}}]}


def _level_05(entry: Any) -> tuple[Json, list[Json], str]:
    """A level, its steps in words of 0.5 (none: the identity), and the coordinate system into which they lead."""
    match entry:
        case {"coordinateTransformations": [{"type": str(kind), "output": {"name": str(output)}} as found]}:
            bare = {key: value for key, value in found.items() if key not in ("input", "output", "name")}
            match kind, found.get("transformations"):
                case "scale", _ if "scale" in bare:
                    return entry, [bare], output
                case "identity", _:
                    return entry, [], output
                case "sequence", [{"type": "scale", "scale": _} as scale, {"type": "translation", "translation": _} as shift]:
                    return entry, [scale, shift], output
    raise UnsaidError("a level has other transformations than a scale and a translation, into a named coordinate system")


def _renamed(entry: Json, old: str, new: str, value: Any) -> Json:
    """The same, with another key and value in the place of a key."""
    return {new if key == old else key: value if key == old else kept for key, kept in entry.items()}


def _scaled(entry: Json, steps: list[Json], ndim: int) -> Json:
    return entry | {"coordinateTransformations": steps or [{"type": "scale", "scale": [1.0] * ndim}]}


def _numbered(value: Any, version: str) -> Any:
    """A block that states a version of its own, as those of plates and labels do in 0.5."""
    return value | {"version": version} if isinstance(value, dict) and value.get("version") in VERSIONS else value
