"""Files that state far more than they hold: a few kilobytes to some hundred megabytes, made in a moment."""

import struct
from pathlib import Path

from tiffs import build, grey, save

SPACE = 'xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'
COMPRESSIONS = {"jpeg": 7, "zstd": 50000, "ccitt": 4, "jpeg2000": 34712}


def wide(path: Path, compression: int, width: int = 1 << 62) -> str:
    """A BigTIFF of a few hundred bytes with one strip of `width` columns."""
    page = grey(bytes(12), 4, 1, bits=1 if compression == 4 else 8, t256=(16, [width]), t259=(3, [compression]))
    return save(path, build([page], big=True))


def tiny_tiles(path: Path, side: int) -> str:
    """`side` x `side` tiles of one pixel."""
    number = side * side
    page = grey(b"", side, side, t322=(3, [1]), t323=(3, [1]), t273="absent", t278="absent", t279="absent")
    page |= {324: (4, struct.pack("<I", 8) * number), 325: (3, struct.pack("<H", 1) * number), "data": bytes(16)}
    content = bytearray(build([{code: value for code, value in page.items() if code not in (324, 325)}]))
    # the two lists behind everything, the directory behind them
    offsets, counts = len(content), len(content) + 4 * number
    content += page[324][1] + page[325][1]
    first = struct.unpack("<I", content[4:8])[0]
    entries = content[first + 2 : first + 2 + 12 * struct.unpack("<H", content[first : first + 2])[0]]
    at = len(content) + len(content) % 2
    content += b"\0" * (len(content) % 2)
    entries += struct.pack("<HHII", 324, 4, number, offsets) + struct.pack("<HHII", 325, 3, number, counts)
    content += struct.pack("<H", len(entries) // 12) + entries + bytes(4)
    content[4:8] = struct.pack("<I", at)
    return save(path, bytes(content))


def pages(path: Path, number: int, width: int = 4, *, alike: bool = True, text: str = "") -> str:
    """`number` pages of one row, all of one strip; if they are not alike, each of another width."""
    content = bytearray(b"II*\0" + struct.pack("<I", 4096) + bytes(4088))
    size = 2 + 12 * 9 + 4
    raw = text.encode() + b"\0"
    description = 4096 + number * size
    for index in range(number):
        columns = width if alike else 1 + index
        tags = [(256, 4, 1, columns), (257, 4, 1, 1), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (270, 2, len(raw), description),
                (273, 4, 1, 8), (278, 4, 1, 1), (279, 4, 1, columns)]  # fmt: skip
        content += struct.pack("<H", 9) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
        content += struct.pack("<I", 4096 + (index + 1) * size if index + 1 < number else 0)
    return save(path, bytes(content + raw + bytes(number)))


def ome(images: int = 1, planes: int = 1, data: str = "", padding: int = 0) -> str:
    """OME-XML of `images` images of `planes` slices, each with the TiffData `data`, and so many characters of nothing."""
    one = (
        f'<Image ID="Image:0"><Pixels ID="Pixels:0" Type="uint8" DimensionOrder="XYZCT" SizeX="4" SizeY="1" SizeZ="{planes}" '
        f'SizeC="1" SizeT="1">{data}</Pixels></Image>'
    )
    return f"<OME {SPACE}>{one * images}<!--{' ' * padding}--></OME>"
