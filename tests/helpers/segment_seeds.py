"""Small TIFFs in every codec, for the fuzzer of segments: where their segments are, and with another one in their place."""

import copy
import shutil
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile

LIBTIFF = shutil.which("tiffcp")
SIDE = 48
CODECS = ["packbits", "lzw", "deflate", "zstd", "lzma", "jpeg", "jpeg2000", "webp", "png", "jpegxl", "jpegxr", "lerc"]
OPTIONS = [
    *({"compression": codec} for codec in CODECS),
    {"compression": "deflate", "predictor": 2},
    {"compression": "zstd", "predictor": 2},
    {"compression": "jpeg", "compressionargs": {"level": 30}},
    {"compression": "jpeg", "compressionargs": {"level": 95}, "subsampling": (1, 1)},
    {"compression": "webp", "compressionargs": {"level": 70, "lossless": False}},
    {"compression": "jpegxl", "compressionargs": {"distance": 2}},
]
# No tile reaches over the edge: one of fewer bytes would be taken for one that holds the image's part alone, as some writers make them.
CUTS = [{"tile": (SIDE, 16)}, {"rowsperstrip": 16}, {"rowsperstrip": SIDE}, {"tile": (16, 48)}]
_FORMS = {3: "H", 4: "I", 16: "Q"}  # of TIFF types


@dataclass(frozen=True)
class Seed:
    """A TIFF, its codec, its encoded segments, and the places of each one's offset and byte count as (byte, format)."""

    codec: str
    content: bytes
    segments: tuple[bytes, ...]
    offsets: tuple[tuple[int, str], ...]
    counts: tuple[tuple[int, str], ...]

    def replaced(self, index: int, data: bytes) -> bytes:
        """The TIFF with another segment, at its end."""
        content = bytearray(self.content) + bytes(len(self.content) % 2)
        for (at, form), value in ((self.offsets[index], len(content)), (self.counts[index], len(data))):
            struct.pack_into(form, content, at, min(value, (1 << 8 * struct.calcsize(form)) - 1))
        return bytes(content + data)


def seeds(folder: Path) -> list[Seed]:
    """RGB and grey, in tiles and strips, also in one strip; JPEG by libtiff too, where it is there, with its tables apart."""
    chance = np.random.default_rng(0)
    rgb = chance.integers(0, 200, (SIDE // 8, SIDE // 8, 3)).repeat(8, 0).repeat(8, 1)
    rgb = (rgb + chance.integers(0, 40, rgb.shape)).astype(np.uint8)
    path, found = folder / "seed.tif", []
    for number, options in enumerate(OPTIONS):
        for pixels, cut in ((rgb, CUTS[number % 4]), (rgb, CUTS[(number + 1) % 4]), (rgb[..., 0].copy(), CUTS[(number + 2) % 4])):
            if pixels.ndim == 2 and (options["compression"] == "webp" or "subsampling" in options):
                continue
            tifffile.imwrite(
                path, pixels, photometric="rgb" if pixels.ndim == 3 else "minisblack", metadata=None, **cut, **copy.deepcopy(options)
            )
            found.append(_seed(options["compression"], path))
    tifffile.imwrite(path, rgb, photometric="rgb", metadata=None)
    for options in (["-c", "jpeg:75", "-t", "-w", "32", "-l", "32"], ["-c", "jpeg:75:r", "-s", "-r", str(SIDE)]) if LIBTIFF else ():
        subprocess.run([str(LIBTIFF), *options, path, folder / "apart.tif"], check=True)
        found.append(_seed("jpeg", folder / "apart.tif"))
        (folder / "apart.tif").unlink()
    path.unlink()
    return found


def _seed(codec: str, path: Path) -> Seed:
    content = path.read_bytes()
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        places = [page.tags[code] for code in ((324, 325) if page.is_tiled else (273, 279))]
        segments = tuple(content[at : at + count] for at, count in zip(page.dataoffsets, page.databytecounts, strict=True))
        return Seed(codec, content, segments, *(_places(tag, len(segments)) for tag in places))


def _places(tag: tifffile.TiffTag, number: int) -> Sequence[tuple[int, str]]:
    form = "<" + _FORMS[int(tag.dtype)]
    return tuple((tag.valueoffset + index * struct.calcsize(form), form) for index in range(number))
