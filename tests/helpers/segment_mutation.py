"""Encoded segments changed where their structure is: markers, chunks, boxes, lengths, checksums, single bits, or cut short."""

import random
import re
import struct
import zlib

_MARKER = re.compile(rb"\xff[\x01-\xfe]")
NUMBERS = [0, 1, 2, 3, 7, 8, 255, 256, *(2**bits - back for bits in (15, 16, 31, 32) for back in (1, 0))]


class Mutator:
    """Changes segments, by the chance it is given."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    def __call__(self, data: bytes, other: bytes, codec: str) -> tuple[str, bytes]:
        """What was done ("cut": only its end is missing; "plain": it was damaged; "made": it may be whole again), and the new segment."""
        if self.chance.random() < 0.2:
            return "cut", data[
                : self.chance.choice([self.chance.randrange(1, len(data)), len(data) - self.chance.randint(1, min(9, len(data) - 1))])
            ]
        changed, kind = bytearray(data), "plain"
        for _ in range(self.chance.choice([1, 1, 1, 2, 4])):
            change = self.chance.choice([self._bit, self._bytes, self._number, self._zeros, self._unit, self._unit, self._splice])
            change(changed, other, codec)
            if not changed:
                changed += b"\0"
        if self.chance.random() < 0.5 and (repaired := _repaired(bytes(changed), codec)) != changed:
            return "made", repaired
        return kind, bytes(changed)

    def _at(self, data: bytearray) -> int:
        """A byte, as often as not in the first of the structure."""
        return self.chance.randrange(min(len(data), self.chance.choice([32, 700, len(data)])))

    def _bit(self, data: bytearray, other: bytes, codec: str) -> None:
        data[self._at(data)] ^= 1 << self.chance.randrange(8)

    def _bytes(self, data: bytearray, other: bytes, codec: str) -> None:
        at = self._at(data)
        length = self.chance.choice([1, 2, 4, 16, 60])
        data[at : at + length] = self.chance.randbytes(min(length, len(data) - at))

    def _number(self, data: bytearray, other: bytes, codec: str) -> None:
        at, form = self._at(data), self.chance.choice(["<H", ">H", "<I", ">I"])
        size = struct.calcsize(form)
        value = self.chance.choice([*NUMBERS, len(data), self.chance.randrange(2 * len(data))])
        data[at : at + size] = struct.pack(form, value % (1 << 8 * size))

    def _zeros(self, data: bytearray, other: bytes, codec: str) -> None:
        """As a block that was never written."""
        at = self._at(data)
        end = min(len(data), at + self.chance.choice([8, 64, len(data)]))
        data[at:end] = bytes(end - at)

    def _splice(self, data: bytearray, other: bytes, codec: str) -> None:
        """A piece of another segment, at the same place or elsewhere."""
        begin = self.chance.randrange(len(other))
        piece = other[begin : begin + self.chance.choice([4, 40, 400])]
        at = self.chance.choice([begin, self._at(data)])
        data[at : at + self.chance.choice([0, len(piece)])] = piece

    def _unit(self, data: bytearray, other: bytes, codec: str) -> None:
        """A marker, chunk or box is left out, doubled, moved, emptied, or gets another code."""
        found = units(bytes(data), codec)
        if len(found) < 2:
            return self._bytes(data, other, codec)
        begin, end = self.chance.choice(found)
        unit, (target, _) = bytes(data[begin:end]), self.chance.choice(found)
        choice = self.chance.randrange(5)
        if choice == 0:
            del data[begin:end]
        elif choice == 1:
            data[target:target] = unit
        elif choice == 2:
            data[begin:end] = unit[: self.chance.randrange(len(unit))]
        elif choice == 3:
            data[begin : begin + 2] = b"\xff" + self.chance.randbytes(1)
        else:
            data[begin + 2 : end] = bytes(max(0, end - begin - 2))
        return None


def units(data: bytes, codec: str) -> list[tuple[int, int]]:
    """The begin and end of each unit of a segment's structure."""
    if codec in ("jpeg", "jpeg2000"):
        starts = [match.start() for match in _MARKER.finditer(data)]
    elif codec in ("png", "webp"):
        starts, at = [0], 8 if codec == "png" else 12
        while at + 8 <= len(data):
            starts.append(at)
            at += 12 + int.from_bytes(data[at : at + 4], "big") if codec == "png" else 8 + int.from_bytes(data[at + 4 : at + 8], "little")
    else:  # pieces of 16 bytes
        starts = list(range(0, len(data), 16))
    return [(begin, end) for begin, end in zip(starts, [*starts[1:], len(data)], strict=False) if end > begin]


def _repaired(data: bytes, codec: str) -> bytes:
    """The segment with its checksums set right, so that what is behind them is reached.

    Not LERC's: behind it liblerc 4 crashes on codes that no encoder makes (docs/damage.md).
    """
    if codec == "png":
        changed = bytearray(data)
        for begin, _ in units(data, codec)[1:]:
            end = begin + 8 + int.from_bytes(data[begin : begin + 4], "big")
            if end + 4 <= len(data):
                changed[end : end + 4] = struct.pack(">I", zlib.crc32(data[begin + 4 : end]))
        return bytes(changed)
    if codec == "deflate" and len(data) > 6:
        inflate = zlib.decompressobj(-15)
        try:
            made = inflate.decompress(data[2:], 1 << 20)
        except zlib.error:
            return data
        return data[:-4] + struct.pack(">I", zlib.adler32(made))
    return data
