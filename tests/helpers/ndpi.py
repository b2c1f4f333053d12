"""Slides after OpenSlide's description of NDPI."""

import struct

import imagecodecs
import numpy as np
from tiffs import FORMATS

BASE = 6 << 30
WIDE, HIGH = 64, 16  # pixels from restart marker to restart marker: four MCUs of 16 x 16


def jpeg(pixels):
    """A JPEG of restart intervals, the size of its header, and the starts of its intervals; sides are multiples of WIDE and HIGH."""
    stream, starts = bytearray(), []
    for number, (y, x) in enumerate(np.ndindex(pixels.shape[0] // HIGH, pixels.shape[1] // WIDE)):
        tile = pixels[y * HIGH : (y + 1) * HIGH, x * WIDE : (x + 1) * WIDE]
        data = imagecodecs.jpeg8_encode(np.ascontiguousarray(tile), level=95, subsampling="420")
        frame, scan = data.index(b"\xff\xc0"), data.index(b"\xff\xda")
        begin = scan + 2 + int.from_bytes(data[scan + 2 : scan + 4], "big")
        if not stream:
            restart = struct.pack(">HHH", 0xFFDD, 4, WIDE // 16)
            sides = struct.pack(">HH", *(side if side < 1 << 16 else 0 for side in pixels.shape[:2]))
            stream += data[: frame + 5] + sides + data[frame + 9 : scan] + restart + data[scan:begin]
        starts.append(len(stream))
        stream += data[begin:-2] + bytes([0xFF, 0xD0 + number % 8])
    stream[-1] = 0xD9
    return bytes(stream), starts


def page(pixels, scale, focus=0, first=False):
    data, starts = jpeg(pixels)
    tags = {256: (4, [pixels.shape[1]]), 257: (4, [pixels.shape[0]]), 258: (3, [8, 8, 8]), 259: (3, [7]), 262: (3, [6]), 273: (4, None),
            271: (2, b"Hamamatsu\0"), 277: (3, [3]), 278: (4, [pixels.shape[0]]), 279: (4, [len(data)]), 284: (3, [1]), 530: (3, [2, 2]),
            282: (5, struct.pack("<II", 40000, 1)), 283: (5, struct.pack("<II", 40000, 1)), 296: (3, [3]),
            65420: (4, [1]), 65421: (11, struct.pack("<f", scale)), 65424: (9, struct.pack("<i", focus)), 65426: (4, starts)}  # fmt: skip
    if scale < 0:
        del tags[65426]
    return tags, data


def ndpi(pages, base=0):
    """The parts of a file, from byte `base` on but for its header, as (offset, bytes)."""
    body, links = bytearray(), []
    begin = max(base, 12)
    for tags, data in pages:
        place = begin + len(body)
        body += data
        low, high = [], []
        for code, (kind, values) in sorted(tags.items()):
            values = [place] if values is None else values
            count = {2: len(values), 5: 1, 9: 1, 11: 1}.get(kind, len(values))
            if code == 273:
                raw = struct.pack("<Q", place)
            else:
                raw = values if isinstance(values, bytes) else struct.pack(f"<{count}{FORMATS[kind]}", *values)
                if len(raw) > 4:
                    at = begin + len(body)
                    body += raw
                    raw = struct.pack("<Q", at)
            raw = raw.ljust(8, b"\0")
            low.append(struct.pack("<HHI", code, kind, count) + raw[:4])
            high.append(raw[4:])
        if links:
            struct.pack_into("<Q", body, links[-1], begin + len(body))
        else:
            first = begin + len(body)
        body += struct.pack("<H", len(low)) + b"".join(low)
        links.append(len(body))
        body += bytes(8) + b"".join(high)
    return [(0, b"II*\0" + struct.pack("<Q", first)), (begin, bytes(body))]


def save(path, parts):
    with open(path, "wb") as file:
        for offset, content in parts:
            file.seek(offset)
            file.write(content)
    return str(path)


def slide(height, width, shift=0):
    y, x = np.mgrid[:height, :width]
    return np.stack([(x + shift) * 255 // (width + shift), y * 255 // height, 255 - (x + y) * 255 // (width + height)], -1).astype(np.uint8)
