"""TIFFs changed where it matters: entries of directories, numbers and elements of descriptions, single bytes."""

import contextlib
import random
import re
import struct

NUMBERS = [0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 255, 256, 4096, *(2**bits - back for bits in (16, 31, 32, 63, 64) for back in (1, 0))]
CODES = [254, 256, 257, 258, 259, 262, 266, 270, 273, 274, 277, 278, 279, 282, 284, 296, 317, 320, 322, 323, 324, 325, 330, 338, 339,
         347, 513, 530, 32997, 33628, 33629, 34361, 34412, 34680, 37706, 42112, 42113, 50674, 50838, 50839, 65420, 65421, 65426,
         65432]  # fmt: skip
COMPRESSIONS = [1, 2, 3, 4, 5, 6, 7, 8, 32773, 32946, 33003, 34676, 34712, 34887, 34892, 34925, 34926, 50000, 50001, 50002]
WORDS = ["-1", "0", "1", "2", "3", "1e999", "nan", "4294967296", "9" * 30, "", " ", "\u00b5m", "&amp;", "<", '"', "XYZTC", "urn:uuid:2"]


class Mutator:
    """Changes TIFFs, by the chance it is given."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    def __call__(self, content: bytes, other: bytes) -> bytes:
        """The content, changed one to three times; `other` is material to take parts from."""
        data = bytearray(content)
        for _ in range(self.chance.choice([1, 1, 1, 2, 3])):
            kind = self.chance.choices([self._entry, self._text, self._byte, self._cut, self._description], [10, 6, 4, 1, 1])[0]
            kind(data, other)
            if len(data) < 16:
                break
        return bytes(data)

    def _number(self, data: bytearray) -> int:
        return self.chance.choice([self.chance.choice(NUMBERS), self.chance.randrange(len(data) + 20), self.chance.randrange(300)])

    def _entry(self, data: bytearray, other: bytes) -> None:
        found = entries(data)
        if not found:
            return self._byte(data, other)
        order, big, at = self.chance.choice(found)
        size, where = (20, "HHQ") if big else (12, "HHI")
        code, kind, count = struct.unpack_from(order + where, data, at)
        value = bytes(data[at + size - (8 if big else 4) : at + size])
        choice = self.chance.randrange(6)
        if choice == 0:
            code = self.chance.choice(CODES)
        elif choice == 1:
            kind = self.chance.randrange(20)
        elif choice == 2:
            count = self._number(data)
        elif choice == 3 and self.chance.random() < 0.5:
            source = self.chance.choice(found)[2]
            data[at : at + size] = data[source : source + size]
            return None
        else:
            number = self.chance.choice(COMPRESSIONS) if code == 259 else self._number(data)
            form = {3: "H", 1: "B"}.get(kind, "Q" if big else "I")
            width = struct.calcsize(order + form)
            value = struct.pack(order + form, number % (1 << 8 * width)) + value[width:]
        mask = (1 << 64 if big else 1 << 32) - 1
        data[at : at + size] = struct.pack(order + where, code, kind, count & mask) + value
        return None

    def _text(self, data: bytearray, other: bytes) -> None:
        """Numbers, quoted values, lines and elements of a text, at the same length: what is too long is cut, what is short is padded."""
        texts = [match.span() for match in re.finditer(rb"[\t\n\r -~\x80-\xff]{24,}", data)]
        if not texts:
            return self._byte(data, other)
        begin, end = self.chance.choice(texts)
        text = bytes(data[begin:end])
        parts = [match.span() for match in re.finditer(rb'"[^"]*"|\d+|<[^>]*>|[^\n]*\n', text)]
        if not parts:
            return self._byte(data, other)
        a, b = self.chance.choice(parts)
        c, d = self.chance.choice(parts)
        word = self.chance.choice([*WORDS, str(self._number(data))]).encode()
        quoted = b'"' + word + b'"' if text[a : a + 1] == b'"' else word
        new = self.chance.choice([quoted, quoted, b"", text[a:b] * 2, text[c:d]])
        changed = text[:a] + new + text[b:]
        data[begin:end] = changed[: end - begin].ljust(end - begin)
        return None

    def _description(self, data: bytearray, other: bytes) -> None:
        """The description becomes that of another input, behind the end of the file."""
        texts = re.findall(rb"(?:ImageJ=|<\?xml|<OME|\{\"|Aperio|<MetaData)[\t\n\r -~\x80-\xff]{8,}", other)
        found = [(order, at) for order, big, at in entries(data) if not big and data[at : at + 2] in (b"\x0e\x01", b"\x01\x0e")]
        if texts and found:
            (order, at), text = found[0], self.chance.choice(texts)
            data[at : at + 12] = struct.pack(order + "HHII", 270, 2, len(text), len(data))
            data += text

    def _byte(self, data: bytearray, other: bytes) -> None:
        at = self.chance.randrange(len(data))
        choice = self.chance.randrange(4)
        if choice == 0:
            data[at] = self.chance.randrange(256)
        elif choice == 1:
            data[at] ^= 1 << self.chance.randrange(8)
        elif choice == 2:
            data[at : at + 4] = struct.pack(self.chance.choice("<>") + "I", self._number(data) & 0xFFFFFFFF)
        else:
            source = self.chance.randrange(len(other))
            length = self.chance.choice([2, 4, 8, 12, 20, 40])
            data[at : at + length] = other[source : source + length]

    def _cut(self, data: bytearray, other: bytes) -> None:
        del data[self.chance.randrange(len(data)) :]


def entries(data: bytes | bytearray) -> list[tuple[str, bool, int]]:
    """Byte order, whether BigTIFF, and place of the directory entries of a TIFF, as far as its chain goes."""
    order = {b"II": "<", b"MM": ">"}.get(bytes(data[:2]), "<")
    big = data[2:4] in (b"+\0", b"\0+")
    number, link, size = ("Q", "Q", 20) if big else ("H", "I", 12)
    found: list[tuple[str, bool, int]] = []
    with contextlib.suppress(struct.error, OverflowError):
        (at,) = struct.unpack_from(order + link, data, 8 if big else 4)
        for _ in range(8):
            (count,) = struct.unpack_from(order + number, data, at)
            begin = at + struct.calcsize(order + number)
            found += [(order, big, begin + i * size) for i in range(min(count, 64)) if begin + (i + 1) * size <= len(data)]
            (at,) = struct.unpack_from(order + link, data, begin + count * size)
            if not at:
                break
    return found
