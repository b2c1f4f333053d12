"""Mutated files: whatever the bytes, an image that can be read or one InputError of one line, within bounded time and memory.

OMEZARR_FUZZ_SECONDS runs it longer by hand.
"""

import os
import random
import struct
import time

import numpy as np
import pytest
import tifffile
from test_tiff import ome
from tiffs import build, grey

from omezarr_proc.errors import InputError
from omezarr_proc.image import Rect
from omezarr_proc.tiff import images as tiff
from omezarr_proc.tiff.reader import Reader

SECONDS = float(os.environ.get("OMEZARR_FUZZ_SECONDS", "6"))
EXTREMES = [b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\1\0\0\0", b"\0\0\0\1", b"\xff\xff", b"\0\0"]


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    """Valid files of many kinds, small enough that a change mostly hits the structure."""
    folder = tmp_path_factory.mktemp("seeds")
    pixels = np.random.default_rng(0).integers(0, 255, (2, 24, 20), "u1")
    rgb = np.random.default_rng(0).integers(0, 255, (24, 20, 3), "u1")
    found = [build([grey(bytes(12), 4, 3, t270=(2, ome(z=2)))] * 2), build([grey(bytes(12), 4, 3)] * 3, ">", True)]
    for number, options in enumerate(
        [{"compression": "zlib", "predictor": 2}, {"compression": "lzw"}, {"tile": (16, 16), "compression": "jpeg"},
         {"tile": (16, 16), "byteorder": ">"}, {"imagej": True}, {"metadata": {"axes": "ZYX"}, "ome": True, "compression": "zstd"},
         {"bigtiff": True, "compression": "packbits"}]
    ):  # fmt: skip
        path = folder / f"{number}.tif"
        tifffile.imwrite(path, pixels, photometric="minisblack", **options)
        found.append(path.read_bytes())
    tifffile.imwrite(folder / "rgb.tif", rgb, photometric="rgb", compression="jpeg2000", metadata=None)
    return [*found, (folder / "rgb.tif").read_bytes()]


def mutate(random_, content):
    data = bytearray(content)
    big = data[2:4] in (b"+\0", b"\0+")
    first = struct.unpack_from(("<" if data[:2] == b"II" else ">") + ("Q" if big else "I"), data, 8 if big else 4)[0]
    for _ in range(random_.randint(1, 5)):
        place = random_.random()
        if place < 0.6 and first < len(data) - 1:
            at = random_.randrange(first, min(len(data), first + 300))
        else:
            at = random_.randrange(len(data))
        kind = random_.random()
        if kind < 0.5:
            data[at] = random_.randrange(256)
        elif kind < 0.85:
            extreme = random_.choice(EXTREMES)
            data[at : at + len(extreme)] = extreme
        elif kind < 0.95:
            data[at] ^= 1 << random_.randrange(8)
        elif at > 8:
            del data[at:]
            return bytes(data)
    return bytes(data)


def consume(path, fill):
    for image in tiff.open_images(path, images="all", on_missing=fill)[:3]:
        reader = Reader(image)
        try:
            for plane in [plane for plane in image.planes[:3] if plane is not None]:
                layout = image.layouts[plane.layout]
                if layout.segment_bytes > 1 << 26:
                    continue
                for access in ["segment", *(["rows"] if layout.raw else []), *(["stream"] if layout.stream else [])]:
                    for _, _, block in reader.read(plane, Rect(0, min(image.height, 40), 0, min(image.width, 40)), access):
                        assert block.dtype == layout.dtype
        finally:
            reader.close()


@pytest.mark.parametrize("seed", range(2))
def test_mutated_files_are_read_or_refused_in_one_line(seeds, tmp_path, seed):
    random_ = random.Random(seed)
    path = str(tmp_path / "mutated.ome.tif")
    began, inputs, refused = time.monotonic(), 0, 0
    while time.monotonic() - began < SECONDS / 2:
        with open(path, "wb") as file:
            file.write(mutate(random_, random_.choice(seeds)))
        inputs += 1
        started = time.monotonic()
        try:
            consume(path, random_.choice(["error", "fill"]))
        except InputError as error:
            refused += 1
            assert "\n" not in str(error)
            assert "mutated.ome.tif" in str(error)
        assert time.monotonic() - started < 5
    print(f"{inputs} inputs, {refused} refused")
    assert inputs > 20
    assert 0 < refused < inputs
