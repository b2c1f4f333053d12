"""What each access takes, by counting; and that the one which is chosen is one that the reader has."""

import io
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from reading import whole
from tiffs import coordinates

from omezarr_proc.model.image import Layout
from omezarr_proc.plan.access import ACCESSES, STREAM_ABOVE, choose
from omezarr_proc.tiff.describe.images import open_images
from omezarr_proc.tiff.file.bytes import InMemory
from omezarr_proc.tiff.read.reader import Reader

sides = st.integers(1, 60)


def layout(height, width, high, wide):
    return Layout(
        height=height,
        width=width,
        samples=1,
        segment_height=high,
        segment_width=wide,
        dtype="uint8",
        compression="deflate",
        segment_bytes=high * wide,
    )


@given(sides, sides, sides, sides, sides, sides)
def test_amplification_is_what_counting_the_segments_of_each_band_gives(height, width, high, wide, band_height, band_width):
    kind = layout(height, width, high, wide)
    touched = {"segment": 0, "stream": set()}
    for y in range(0, height, band_height):
        for x in range(0, width, band_width):
            rows = range(y // high, (min(y + band_height, height) - 1) // high + 1)
            columns = range(x // wide, (min(x + band_width, width) - 1) // wide + 1)
            touched["segment"] += len(rows) * len(columns)
            touched["stream"] |= {(x, row, column) for row in rows for column in columns}  # bands below go on where it stands
    there = -(-height // high) * -(-width // wide)
    got = {name: access.amplification(kind, 1, band_height, band_width) for name, access in ACCESSES.items()}
    assert got == pytest.approx({"rows": 1, "spool": 1, "segment": touched["segment"] / there, "stream": len(touched["stream"]) / there})


@given(sides, sides, sides, sides, st.sampled_from([1, 2, 4]))
def test_no_cut_of_a_band_goes_through_a_segment(height, width, high, wide, d):
    rows, columns = ACCESSES["segment"].cut_lines(layout(height, width, high, wide), d)
    assert all(row * d % high == 0 for row in range(0, height, rows))
    assert columns == 0 if wide >= width else all(column * d % wide == 0 for column in range(0, width, columns))
    assert ACCESSES["stream"].cut_lines(layout(height, width, high, wide), d) == (0, 0)


def test_only_a_segment_that_is_decoded_whole_takes_memory_of_its_size():
    small, large = (replace(layout(high, 100, high, 100), encoded_bytes=high, decode_factor=5.0) for high in (10, 10_000))
    grown = {name: access.load_bytes(large) - access.load_bytes(small) for name, access in ACCESSES.items()}
    assert grown == {"rows": 0, "stream": 0, "spool": 0, "segment": 9990 * (100 * 5 + 1)}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"raw": True, "stream": True}, ("rows", "rows")),
        ({}, ("segment", "segment")),
        ({"stream": True, "spool": True}, ("stream", "stream")),
        ({"spool": True}, ("segment", "spool")),
        ({"stream": True, "spool": True, "segment_bytes": STREAM_ABOVE}, ("segment", "segment")),
        ({"stream": True, "spool": True, "segment_width": 50}, ("segment", "segment")),
    ],
)
def test_what_is_chosen(changes, expected):
    kind = replace(layout(100, 100, 100, 100), **({"segment_bytes": STREAM_ABOVE + 1} | changes))
    assert tuple(choose(kind, spool=spool) for spool in (False, True)) == expected


@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
def test_the_reader_has_what_is_chosen(compression):
    pixels = coordinates((40, 50))
    with io.BytesIO() as written:
        tifffile.imwrite(written, pixels, compression=compression, rowsperstrip=40, metadata=None)
        data = written.getvalue()
    (image,) = open_images("/nowhere/x.tif", opener=lambda path: InMemory(path, data))
    with closing(Reader(image, opener=lambda path: InMemory(path, data))) as reader:
        for size in (1, STREAM_ABOVE + 1):
            access = choose(replace(image.layouts[0], segment_bytes=size), spool=False)
            np.testing.assert_array_equal(whole(reader, image.planes[0], access)[..., 0], pixels)
