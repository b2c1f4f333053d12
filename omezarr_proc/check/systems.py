"""Whether `multiscales` names its axes as its version does: one list of them up to NGFF 0.5, coordinate systems in 0.6. Pure.

Rules: https://ngff.openmicroscopy.org/0.6/, "coordinateSystems" and "multiscales". Axes, scales and translations themselves are judged as
those of 0.5 (see `spec`), in the coordinate system into which the levels lead; others, and what leads there, are not judged.
"""

from collections.abc import Iterator
from typing import Any

from omezarr_proc.check.finding import Finding
from omezarr_proc.ngff.versions import Json, UnsaidError, as_05


def check_systems(multiscale: Json, version: str, where: str) -> Iterator[Finding]:
    """What is wrong with how an entry of `multiscales`, which says to be of this version, names systems and leads into them."""
    wanted, other = ("coordinateSystems", "axes") if version == "0.6" else ("axes", "coordinateSystems")
    if other in multiscale:
        yield Finding("spec", f"{where}.{other}", f"is there in NGFF {version}", f"{version} has {wanted}", "correct the version")
    if version != "0.6":
        return
    systems = multiscale.get("coordinateSystems")
    if not isinstance(systems, list) or not systems or not all(isinstance(system, dict) for system in systems):
        yield Finding(
            "spec", f"{where}.coordinateSystems", "is no list of objects", "a multiscale image has coordinate systems, at least one"
        )
        return
    names = [system.get("name") for system in systems]
    if not all(isinstance(name, str) and name for name in names) or len({str(name) for name in names}) < len(names):
        yield Finding("spec", f"{where}.coordinateSystems", f"names {names}", "every coordinate system has its own name")
    entries = multiscale.get("datasets")
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        yield from _leads(entry, f"{where}.datasets[{index}]")
    try:
        as_05(multiscale)
    except UnsaidError as error:
        rule = "each level has one scale, or one sequence of a scale and a translation, into the same coordinate system"
        yield Finding("spec", where, str(error).removeprefix("multiscales "), rule)


def _leads(entry: Any, where: str) -> Iterator[Finding]:
    """A level's transformation begins at its own array."""
    match entry:
        case {"path": path, "coordinateTransformations": [{"input": {"path": begin}}]} if path == begin:
            return
        case {"path": path}:
            place = f"{where}.coordinateTransformations"
            yield Finding("spec", place, "input is not the level", f"one transformation, whose input is {{'path': {path!r}}}")
