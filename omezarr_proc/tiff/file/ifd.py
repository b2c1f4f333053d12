"""The chain of IFDs of a TIFF or BigTIFF: offsets and tags, read with a few small reads a page, bounded for any content.

tifffile interprets a page (`decode`); this module only walks, because every page of a file must be seen before planning: thousands of
pages in a second, loops and nonsense found, and pages told apart that differ in anything that matters for decoding. Source: TIFF 6.0
section 2; BigTIFF as in libtiff; NDPI as OpenSlide describes Hamamatsu's format: a classic TIFF whose offsets of directories have 64 bits,
with the upper halves of all entries behind each directory.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from omezarr_proc.model.errors import InputError
from omezarr_proc.tiff.file.budget import PAGE_BYTES, Budget
from omezarr_proc.tiff.file.bytes import Bytes

MAX_PAGES = 200_000
MAX_NDPI_PAGES = 500  # tifffile looks at all of them again for each
MAX_TAGS = 4096
_BLOCK = 4096  # bytes that are read of a directory before its length is known
_CLOSE = 64 << 10  # bytes between directories which are read together
_MOST_SLACK = 64 << 10  # bytes by which a place may be missed
_LOOKED_BACK = 8  # directories from which the next ones are foretold
_FORESEEN = 64
MAX_TEXT = 64 << 10  # bytes of the descriptions that only tell pages apart
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_NDPI = 65420  # Hamamatsu's mark
_INTEGERS = {1: "u1", 3: "u2", 4: "u4", 6: "i1", 8: "i2", 9: "i4", 13: "u4", 16: "u8", 17: "i8", 18: "u8"}


class Tag(NamedTuple):
    """One directory entry: the type of its values, their number, and the raw field (the values, or the offset to them)."""

    kind: int
    number: int
    field: bytes

    @property
    def size(self) -> int:
        """Bytes of all values; 0 for an unknown type."""
        return _SIZES.get(self.kind, 0) * self.number


@dataclass(frozen=True, slots=True)
class Ifd:
    """One image file directory; its entries stay packed, since a file can have a hundred thousand of them."""

    offset: int
    following: int
    entries: bytes
    packing: str  # of one entry

    @property
    def tags(self) -> Mapping[int, Tag]:
        """The entries by code; of a code that is there twice, the first. Those of the pages looked at last stay unpacked."""
        return _unpacked(self.packing, self.entries)


@lru_cache(maxsize=16)
def _unpacked(packing: str, entries: bytes) -> Mapping[int, Tag]:
    return {code: Tag(kind, count, raw) for code, kind, count, raw in reversed([*struct.iter_unpack(packing, entries)])}


class Ifds:
    """The directories of an open TIFF file.

    Raises InputError when the file is not a TIFF, what `budget` raises when a value is too large for it.
    """

    def __init__(self, source: Bytes, budget: Budget | None = None) -> None:
        self.source = source
        self.path = path = source.path
        self.budget = budget or Budget(source=path)
        self.size = source.size
        head = self.head = self._read(0, 16)
        self.order = {b"II": "<", b"MM": ">"}.get(head[:2], "")
        if not self.size:
            raise InputError("the file is empty", source=path, hint="copy it again")
        if not self.order or len(head) < 8:
            raise InputError(f"not a TIFF file (it begins with {head[:4]!r})", source=path, hint="remove it or rename it")
        magic = struct.unpack(self.order + "H", head[2:4])[0]
        self.big = magic == 43
        if magic not in (42, 43) or (self.big and struct.unpack(self.order + "HH", head[4:8].ljust(4)) != (8, 0)):
            raise InputError(f"not a valid TIFF file (version {magic})", source=path, hint="write it anew")
        if self.big and len(head) < 16:
            raise InputError("the BigTIFF header is cut off", source=path, hint="copy the file again")
        self.first: int = struct.unpack(self.order + ("Q" if self.big else "I"), head[8:16] if self.big else head[4:8])[0]
        self._inline = 8 if self.big else 4  # bytes of values that stand in an entry
        self.ndpi = magic == 42 and self.order == "<" and self._is_ndpi(head)

    def _read(self, offset: int, count: int) -> bytes:
        return self.source.read([(offset, count)])[0]

    def _is_ndpi(self, head: bytes) -> bool:
        """Whether a directory with Hamamatsu's mark is where the file would have its first one as an NDPI."""
        first = int.from_bytes(head[4:12], "little")
        if len(head) < 12 or not 8 <= first < self.size:
            return False
        number = int.from_bytes(self._read(first, 2), "little")
        block = self._read(first + 2, 12 * number) if number <= MAX_TAGS else b""
        if not any(block[at : at + 2] == _NDPI.to_bytes(2, "little") for at in range(0, len(block), 12)):
            return False
        self.first = first
        return True

    def ifd(self, offset: int) -> Ifd:
        """The directory at a byte offset. Raises InputError when it lies outside the file or is cut off."""
        order, big, path = self.order, self.big, self.path
        head, width, entry = (8, 8, "HHQ8s") if big else (2, 8 if self.ndpi else 4, "HHI4s")
        block = self._read(offset, _BLOCK) if 0 < offset < self.size else b""
        if len(block) < head:
            raise InputError(
                f"an IFD is said to be at byte {offset}, outside the file of {self.size} bytes; the file is cut off or corrupt", source=path
            )
        number = struct.unpack_from(order + ("Q" if big else "H"), block)[0]
        if not 0 < number <= MAX_TAGS:
            raise InputError(f"the IFD at byte {offset} has {number} tags; the file is corrupt", source=path)
        length = head + number * (12 + 8 * big) + width
        if length > len(block):
            block = self._read(offset, length)
        if len(block) < length - width:
            raise InputError(f"the IFD at byte {offset} is cut off", source=path, hint="copy the file again")
        end = block[length - width : length]
        following = int.from_bytes(end, "little" if order == "<" else "big") if len(end) == width else 0
        entries = block[head : length - width]
        if not self.ndpi:
            return Ifd(offset, following, entries, order + entry)
        upper = self._read(offset + length, 4 * number).ljust(4 * number, b"\0")
        whole = b"".join(entries[12 * i : 12 * i + 12] + upper[4 * i : 4 * i + 4] for i in range(number))
        return Ifd(offset, following, whole, "<HHI8s")

    def chain(self, first: int | None = None, limit: int = MAX_PAGES) -> list[Ifd]:
        """The directories from the first one on, in the order of the file.

        Raises InputError for a chain that loops, leaves the file or is longer than `limit` (an NDPI: than MAX_NDPI_PAGES).
        """
        limit = min(limit, MAX_NDPI_PAGES) if self.ndpi else limit
        found: list[Ifd] = []
        seen: set[int] = set()
        offset = self.first if first is None else first
        foresee = 3
        while offset:
            if offset in seen:
                raise InputError(f"the chain of pages loops back to byte {offset}; the file is corrupt", source=self.path)
            if len(found) == limit:
                raise InputError(f"more than {limit} pages", source=self.path, hint="split the file")
            seen.add(offset)
            if self.source.distant and len(found) == foresee:
                foresee += self._foresee([ifd.offset for ifd in found[-_LOOKED_BACK:]] + [offset])
            found.append(self.ifd(offset))
            self.budget.keep(PAGE_BYTES + len(found[-1].entries))
            offset = found[-1].following
        if not found:
            raise InputError("the file has no page; it was not finished by its writer", source=self.path)
        return found

    def _foresee(self, offsets: list[int]) -> int:
        """Ask for the directories that come after some, where they are expected; returns after how many more to look again.

        A chain is walked one by one, a round each, but pages mostly lie at about even distances. Close ones are read together anyway.
        """
        steps = [after - before for before, after in pairwise(offsets)]
        step, spread = sum(steps) // len(steps), max(steps) - min(steps)
        expected = []
        for number in range(_FORESEEN):
            slack = spread * min(number, 4)
            if abs(step) <= _CLOSE or slack > _MOST_SLACK:
                break
            expected.append((max(0, offsets[-1] + number * step - slack), _BLOCK + 2 * slack))
        self.source.ahead(expected)
        return max(len(expected), _LOOKED_BACK)

    def raw(self, tag: Tag, most: int | None = None) -> bytes:
        """The bytes of a tag's values, the first `most` of them; shorter than stated when the file ends before."""
        size = tag.size
        if size <= self._inline:
            return tag.field[:size]
        offset = int.from_bytes(tag.field, "little" if self.order == "<" else "big")
        if size > max(self.size, MAX_TEXT):
            raise InputError(f"a tag of {size} bytes; the file is corrupt", source=self.path)
        there = min(size if most is None else min(size, most), max(0, self.size - offset))
        self.budget.need(there)
        return self._read(offset, there) if there else b""

    def integers(self, ifd: Ifd, code: int) -> NDArray[np.int64]:
        """All values of an integer tag, in native order; empty when it is absent or of another type."""
        tag = ifd.tags.get(code)
        if tag is None or tag.kind not in _INTEGERS:
            return np.empty(0, np.int64)
        dtype = np.dtype(self.order + _INTEGERS[tag.kind])
        self.budget.need(tag.size + 8 * min(tag.number, self.size))
        raw = self.raw(tag)
        if self.ndpi and tag.kind == 4 and tag.number == 1:  # with its upper half
            return np.frombuffer(tag.field, "<u8").astype(np.int64)
        return np.frombuffer(raw, dtype, len(raw) // dtype.itemsize).astype(np.int64)

    def integer(self, ifd: Ifd, code: int, default: int) -> int:
        """The first value of an integer tag."""
        tag = ifd.tags.get(code)
        if tag is None or tag.kind not in _INTEGERS or not tag.number:
            return default
        if self.ndpi or tag.size > self._inline:
            values = self.integers(ifd, code)
            return int(values[0]) if len(values) else default
        return int(np.frombuffer(tag.field, self.order + _INTEGERS[tag.kind], 1)[0])

    def real(self, ifd: Ifd, code: int) -> float | None:
        """The value of a tag of one float; None when it is absent."""
        tag = ifd.tags.get(code)
        if tag is None or tag.kind not in (11, 12) or tag.number != 1:
            return None
        raw = self.raw(tag)
        return float(np.frombuffer(raw, f"{self.order}f{tag.size}")[0]) if len(raw) == tag.size else None

    def rational(self, ifd: Ifd, code: int) -> float | None:
        """The value of a rational tag; None when it is absent or not positive."""
        tag = ifd.tags.get(code)
        if tag is None or tag.kind != 5 or tag.number != 1:
            return None
        raw = self.raw(tag)
        above, below = struct.unpack(self.order + "II", raw) if len(raw) == 8 else (0, 0)
        return above / below if above and below else None

    def text(self, ifd: Ifd, code: int, most: int | None = None) -> str:
        """An ASCII tag as text, of its first `most` bytes; empty when absent."""
        tag = ifd.tags.get(code)
        if tag is None or tag.kind not in (1, 2, 7):
            return ""
        self.budget.need(
            6 * min(tag.size, self.size, most or tag.size)
        )  # bytes, those before the first zero, and up to 4 for each character
        return decoded(self.raw(tag, most).partition(b"\0")[0])


def decoded(raw: bytes) -> str:
    """Text as UTF-8 where it is that, else Windows-1252: microscopes write both."""
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")
