"""Small TIFFs for tests: pixels that encode their own place, and files built tag by tag that no library would write."""

import struct
from pathlib import Path

import numpy as np

FORMATS = {1: "B", 2: "c", 3: "H", 4: "I", 5: "I", 11: "f", 16: "Q"}


def coordinates(shape, dtype="uint16", samples=1):
    """An array [..., y, x(, samples)] in which no two neighbours are equal and every plane differs from every other."""
    shape = (*shape, samples) if samples > 1 else tuple(shape)
    weights = [7919, 104729, 1299709, 15485863, 32452843, 49979687][: len(shape)]
    value = sum((np.arange(n).reshape([-1 if axis == i else 1 for axis in range(len(shape))]) + 1) * w
                for i, (n, w) in enumerate(zip(shape, weights[::-1], strict=False)))  # fmt: skip
    if np.dtype(dtype).kind == "f":
        return (value % 100003).astype(dtype) / 7
    return (value % (np.iinfo(dtype).max + 1)).astype(dtype)


def build(pages, order="<", big=False, following=None):
    """The bytes of a TIFF from pages {code: (type, values)} and their data {"data": bytes}: the tag 273 or 324 gets the offset of the data.

    `following` replaces the offset of the next IFD of the last page.
    """
    head = 16 if big else 8
    body = bytearray()
    starts, links = [], []
    for tags in pages:
        tags = dict(tags)
        data = tags.pop("data", b"")
        at = head + len(body)
        body += data
        for code in (273, 324):
            if code in tags and tags[code][1] is None:
                tags[code] = (tags[code][0], [at])
        fields = {}
        for code, (kind, values) in tags.items():
            raw = values if isinstance(values, bytes) else struct.pack(f"{order}{len(values)}{FORMATS[kind]}", *values)
            count = len(raw) if kind in (1, 2) else len(values) // (2 if kind == 5 else 1)  # a rational is two numbers
            if len(raw) > (8 if big else 4):
                where = head + len(body)
                body += raw
                raw = struct.pack(order + ("Q" if big else "I"), where)
            fields[code] = struct.pack(order + ("HHQ" if big else "HHI"), code, kind, count) + raw.ljust(8 if big else 4, b"\0")
        body += b"\0" * (len(body) % 2)
        starts.append(head + len(body))
        body += struct.pack(order + ("Q" if big else "H"), len(fields)) + b"".join(fields[code] for code in sorted(fields))
        links.append(len(body))
        body += b"\0" * (8 if big else 4)
    for number, at in enumerate(links):
        value = starts[number + 1] if number + 1 < len(starts) else (following(starts) if following else 0)
        body[at : at + (8 if big else 4)] = struct.pack(order + ("Q" if big else "I"), value)
    mark = b"II" if order == "<" else b"MM"
    begin = struct.pack(order + "HHHQ", 43, 8, 0, starts[0]) if big else struct.pack(order + "HI", 42, starts[0])
    return mark + begin + bytes(body)


def grey(data, width, height, bits=8, **more):
    """The tags of an uncompressed grey page in one strip."""
    tags = {256: (4, [width]), 257: (4, [height]), 258: (3, [bits]), 259: (3, [1]), 262: (3, [1]), 273: (4, None), 277: (3, [1]),
            278: (4, [height]), 279: (4, [len(data)]), "data": data}  # fmt: skip
    tags.update({int(code.removeprefix("t")): value for code, value in more.items()})
    return {code: value for code, value in tags.items() if value != "absent"}


def save(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)
