"""The values that the attributes of OME-XML have: numbers, sizes with units, colours. Pure.

Source: the OME-XML schema, 2016-06, and the units that it names.
"""

import math
import re

from omezarr_proc.model.image import AxisSize

_PREFIXES = {"Y": "yotta", "Z": "zetta", "E": "exa", "P": "peta", "T": "tera", "G": "giga", "M": "mega", "k": "kilo", "h": "hecto",
             "d": "deci", "c": "centi", "m": "milli", "n": "nano", "p": "pico", "f": "femto", "a": "atto", "z": "zepto",
             "y": "yocto"}  # fmt: skip
_PREFIXES |= {"": "", "\u00b5": "micro", "\u03bc": "micro", "u": "micro"}
LENGTHS: dict[str, tuple[float, str]] = {prefix + "m": (1.0, name + "meter") for prefix, name in _PREFIXES.items()}
LENGTHS |= {"\u00c5": (1.0, "angstrom"), "\u212b": (1.0, "angstrom"), "in.": (1.0, "inch"), "ft": (1.0, "foot"), "yd": (1.0, "yard"),
            "mi": (1.0, "mile"),
            "pc": (1.0, "parsec"), "dam": (10.0, "meter"), "thou": (0.001, "inch"), "li": (1 / 12, "inch"), "pt": (1 / 72, "inch"),
            "ua": (149597870700.0, "meter"), "ly": (9460730472580800.0, "meter")}  # fmt: skip
TIMES: dict[str, tuple[float, str]] = {prefix + "s": (1.0, name + "second") for prefix, name in _PREFIXES.items()}
TIMES |= {"das": (10.0, "second"), "min": (1.0, "minute"), "h": (1.0, "hour"), "d": (1.0, "day")}


class OmeXmlError(ValueError):
    """The document is not usable OME-XML; the text says why, for the end of a sentence."""


def color(text: str | None) -> str | None:
    """Six hex digits of an OME colour, a signed (by some writers unsigned) 32-bit RGBA integer."""
    try:
        value = int(text or "")
    except ValueError:
        return None
    return f"{(value & 0xFFFFFFFF) >> 8:06X}" if -(1 << 31) <= value < 1 << 32 else None


def axis_size(value: float | None, unit: str, units: dict[str, tuple[float, str]]) -> AxisSize | None:
    """A size with the NGFF name of its unit; None for a unit that NGFF cannot say (pixel, reference frame) or a value that is no size."""
    if value is None or not math.isfinite(value) or value <= 0 or unit.strip() not in units:
        return None
    factor, name = units[unit.strip()]
    return AxisSize(value * factor, name)


def stated_size(text: str | None, unit: str, units: dict[str, tuple[float, str]]) -> AxisSize | None:
    """As `axis_size`, of a value as it is written."""
    return axis_size(number(text), unit, units)


def number(text: str | None) -> float | None:
    """A number; None where there is none."""
    try:
        return float(text) if text else None
    except ValueError:
        return None


def whole(text: str | None, name: str, least: int = 0) -> int:
    """A whole number. Raises OmeXmlError, with the attribute's `name`, for anything else, and for one below `least`."""
    if text is not None and text.isascii() and text.isdigit() and len(text) <= 18 and int(text) >= least:
        return int(text)  # all but always, and ten times as fast as the rest
    if text is None or not re.fullmatch(r"\s*\+?\d{1,18}\s*", text) or int(text) < least:
        raise OmeXmlError(f"{name} is missing" if text is None else f"{name} is {text!r:.40}")
    return int(text)


def bare(uuid: str | None) -> str | None:
    """A UUID without its urn prefix, in lower case."""
    return uuid.strip().lower().removeprefix("urn:uuid:") or None if uuid else None
