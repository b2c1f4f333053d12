"""What the value of a setting must be: how its text is read, and how that is said to the user."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from omezarr_proc.config.secret import Secret
from omezarr_proc.model.address import STORES, Place, is_address, place
from omezarr_proc.model.indices import Indices

T = TypeVar("T")


@dataclass(frozen=True)
class Rule:
    """What a value must be: `parse` turns its text into the value or raises ValueError, `text` says it to the user."""

    parse: Callable[[str], Any]
    text: str
    hint: Callable[[str], str] = lambda value: ""  # more about one particular wrong value
    switch: bool = False  # whether it can be on or off, so that a flag by itself means on

    def takes(self, text: str) -> bool:
        """Whether a text is right."""
        try:
            self.parse(text)
        except ValueError:
            return False
        return True


def _digits(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise ValueError(text)
    return int(text)


def _require(value: T, condition: bool) -> T:
    if not condition:
        raise ValueError(value)
    return value


def integer(low: int, high: int | None = None) -> Rule:
    """A whole number in decimal digits, `low` to `high`, both included."""

    def parse(text: str) -> int:
        value = _digits(text)
        return _require(value, low <= value and (high is None or value <= high))

    return Rule(parse, f"a whole number, {low} or more" if high is None else f"a whole number, {low} to {high}")


def power_of_two(low: int, high: int) -> Rule:
    """A power of two, `low` to `high`, both included."""

    def parse(text: str) -> int:
        value = _digits(text)
        return _require(value, low <= value <= high and value.bit_count() == 1)

    return Rule(parse, f"a power of two, {low} to {high}")


def auto_or(rule: Rule) -> Rule:
    """What `rule` says, or "auto" in any case."""
    return Rule(lambda text: "auto" if text.casefold() == "auto" else rule.parse(text), f"auto, or {rule.text}", rule.hint)


def choice(*names: str, refused: Mapping[str, str] | None = None) -> Rule:
    """One of `names` in any case; `refused` explains names that people expect to work."""

    def parse(text: str) -> str:
        return {name.casefold(): name for name in names}[_require(text.casefold(), text.casefold() in map(str.casefold, names))]

    return Rule(parse, f"one of {', '.join(names)}", lambda text: (refused or {}).get(text.casefold(), ""))


def _images(text: str) -> str | tuple[int, ...]:
    if text.casefold() in ("auto", "all"):
        return text.casefold()
    return tuple(sorted({_digits(part.strip()) for part in text.split(",")}))


FIELD = re.compile(r"\{([tcz])\}")


def is_template(text: str) -> bool:
    """Whether it is the name of a file with one or more of {t}, {c} and {z}, each once and with something between two of them."""
    fields = FIELD.findall(text)
    return bool(fields) and len(fields) == len(set(fields)) and not set("{}/\\\0") & set(FIELD.sub("", text)) and "}{" not in text


def _sequence(text: str) -> str:
    return text.casefold() if text.casefold() == "auto" else _require(text, not text or is_template(text))


MOST_INDICES = 1 << 16  # that a range may stand for


def _indices(text: str) -> Indices:
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = (number.strip() for number in part.partition("-"))
        a = _digits(first)
        b = _digits(last) if dash else a
        found |= set(range(a, _require(b, a <= b < a + MOST_INDICES) + 1))
    return Indices(sorted(found))


def _span(text: str) -> Indices:
    found = _indices(text)
    return _require(found, found[-1] - found[0] < len(found))


def _region(text: str) -> tuple[int, int, int, int]:
    x, y, width, height = (_digits(part.strip()) for part in text.split(","))
    return _require((x, y, width, height), width > 0 and height > 0)


SWITCH = {"1": True, "0": False, "true": True, "false": False}  # the platform's forms send true and false


def _flag(text: str) -> bool:
    return SWITCH[_require(text.casefold(), text.casefold() in SWITCH)]


def _preview(text: str) -> bool | str:
    return "thumbnail" if text.casefold() == "thumbnail" else _flag(text)


def _file(text: str) -> Path:
    return Path(_require(text, "\0" not in text and not is_address(text)))


def _place(text: str) -> Place:
    found = place(_require(text, "\0" not in text))
    return found if isinstance(found, Path) else _require(found, found.scheme in STORES)


def _cluster(text: str) -> str:
    return _require(text, not text or re.fullmatch(r"(tcp|tls|ws|wss)://[^\s/@]+(/.*)?", text) is not None)


FLAG = Rule(_flag, "1 or 0 (true or false)", switch=True)
PREVIEW = Rule(_preview, "one of 0, 1, thumbnail", switch=True)
FILE = Rule(_file, "a file", lambda text: "it is not written to object stores" if is_address(text) else "")
CLUSTER = Rule(_cluster, "an address like tcp://host:8786 (tcp, tls, ws or wss)")
PLACE = Rule(_place, "a folder, or a place in an object store (s3://, gs:// or az://)")
TEXT = Rule(str, "")  # never wrong
TOKEN = Rule(Secret, "")
SEQUENCE = Rule(_sequence, "auto, or the name of a file with {t}, {c} or {z} in it, each once")
INDICES = Rule(_indices, "indices like 0,2-4")
SPAN = Rule(_span, "an index, or a range like 3-10")
REGION = Rule(_region, "x,y,width,height")
IMAGES = Rule(_images, "auto, all, or indices like 0,2")
