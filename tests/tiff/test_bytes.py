"""The port for bytes in: what every input does alike, and an image that is read from memory alone."""

import io
import os
from contextlib import closing

import numpy as np
import pytest
import tifffile
from reading import accesses, whole
from tiffs import coordinates

from omezarr_proc.model.errors import InputError
from omezarr_proc.tiff.describe.images import open_images
from omezarr_proc.tiff.file.bytes import InMemory, LocalFile, identity_of, open_bytes, stream
from omezarr_proc.tiff.file.files import Files
from omezarr_proc.tiff.read.reader import Reader

DATA = np.random.default_rng(1).bytes(3 * 4096 + 11)


@pytest.fixture(params=[LocalFile, InMemory])
def source(request, tmp_path):
    path = tmp_path / "x.tif"
    path.write_bytes(DATA)
    opened = LocalFile(str(path)) if request.param is LocalFile else InMemory(str(path), DATA)
    with closing(opened):
        yield opened


def test_many_ranges_are_read_at_once_in_any_order_and_cut_at_the_end(source):
    ranges = [(4097, 5), (0, 16), (7, 0), (len(DATA) - 3, 10), (len(DATA), 4), (len(DATA) + 9, 4), (0, len(DATA) + 1)]
    assert source.size == source.identity.size == len(DATA)
    assert source.read(ranges) == [DATA[offset : offset + count] for offset, count in ranges]
    assert source.read([]) == []


def test_views_are_filled_each_from_its_place(source):
    out = bytearray(100)
    view = memoryview(out)
    source.read_into([(4000, view[60:]), (3, view[:60])])
    assert out == DATA[3:63] + DATA[4000:4040]


def test_a_view_that_the_input_is_too_short_for_says_where_it_ends(source):
    for offset in (len(DATA) - 5, len(DATA)):
        with pytest.raises(EOFError, match=f"^the file ends at byte {len(DATA)}$"):
            source.read_into([(offset, memoryview(bytearray(6)))])


@pytest.mark.parametrize(("offset", "count"), [(0, 1), (4095, 4098), (4096, 4096), (5, len(DATA) - 5)])
def test_what_is_mapped_outlives_its_file(source, offset, count):
    view = source.mapped(offset, count)
    source.close()
    assert bytes(view) == DATA[offset : offset + count]


def test_a_stream_is_a_binary_file_that_leaves_the_input_open(source):
    with stream(source) as file, io.BytesIO(DATA) as expected:
        for whence, to, count in [(0, 5, 4), (1, 3, 9000), (2, -4, 10), (0, len(DATA) + 5, 2), (0, 0, -1)]:
            assert file.seek(to, whence) == expected.seek(to, whence)
            assert file.read(count) == expected.read(count)
            assert file.tell() == expected.tell()
        with pytest.raises(OSError, match=r"descriptor|fileno"):
            file.fileno()
    assert source.read([(0, 4)]) == [DATA[:4]]


def test_a_local_file_has_the_identity_that_its_name_has(tmp_path):
    (tmp_path / "x").write_bytes(DATA)
    with closing(open_bytes(str(tmp_path / "x"))) as opened:
        assert opened.identity == identity_of(str(tmp_path / "x"))
        (tmp_path / "y").write_bytes(DATA)
        os.replace(tmp_path / "y", tmp_path / "x")
        assert opened.identity != identity_of(str(tmp_path / "x"))


def test_short_reads_of_a_file_system_are_made_whole(tmp_path, monkeypatch):
    (tmp_path / "x").write_bytes(DATA)
    pread, preadv = os.pread, os.preadv
    monkeypatch.setattr(os, "pread", lambda fd, count, offset: pread(fd, min(count, 1000), offset))
    monkeypatch.setattr(os, "preadv", lambda fd, views, offset: preadv(fd, [views[0][:1000]], offset))
    with closing(open_bytes(str(tmp_path / "x"))) as opened:
        assert opened.read([(1, len(DATA))]) == [DATA[1:]]
        out = bytearray(5000)
        opened.read_into([(2, memoryview(out))])
        assert out == DATA[2:5002]


def test_a_pipe_is_opened_without_waiting_for_its_writer(tmp_path):
    os.mkfifo(tmp_path / "x")
    with closing(open_bytes(str(tmp_path / "x"))) as opened:
        assert opened.size == 0


class Opened(InMemory):
    """Tells what is open."""

    def __init__(self, path, data, paths):
        super().__init__(path, data)
        self.paths = paths
        paths.add(path)

    def close(self):
        self.paths.remove(self.path)


def test_of_many_files_the_ones_used_last_stay_open():
    paths, closed = set(), []
    with io.BytesIO() as written:
        tifffile.imwrite(written, np.zeros((4, 4), np.uint8))
        data = written.getvalue()
    with Files(2, opener=lambda path: Opened(path, data, paths), closed=closed.append) as files:
        first = files.ifds("a")
        assert files.bytes("b").path == "b"
        assert files.ifds("a") is first
        assert files.bytes("c").path == "c"
        assert (paths, closed) == ({"a", "c"}, ["b"])
        assert files.ifds("a") is first
        files.ifds("b")
        assert (paths, closed) == ({"a", "b"}, ["b", "c"])
    assert not paths
    assert closed == ["b", "c"]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tile": (16, 32)},
        {"compression": "zlib", "tile": (16, 16)},
        {"compression": "lzw", "predictor": 2, "rowsperstrip": 7},
        {"compression": "jpeg2000", "tile": (64, 64)},
        {"ome": True, "metadata": {"axes": "ZYX"}, "tile": (16, 16)},
        {"bigtiff": True, "byteorder": ">"},
    ],
)
def test_an_image_is_read_wholly_from_memory(options):
    pixels = coordinates((3, 70, 90))
    with io.BytesIO() as written:
        tifffile.imwrite(written, pixels, photometric="minisblack", **options)
        data = written.getvalue()

    (image,) = open_images("/nowhere/x.tif", opener=lambda path: InMemory(path, data))
    assert [state.path for state in image.states] == list(image.files) == ["/nowhere/x.tif"]
    with closing(Reader(image, opener=lambda path: InMemory(path, data))) as reader:
        for access in accesses(image.layouts[0]):
            got = [whole(reader, plane, access)[..., 0] for plane in image.planes]
            np.testing.assert_array_equal(got, pixels)


def test_small_segments_of_a_row_are_read_together_and_large_ones_alone():
    with io.BytesIO() as written:
        tifffile.imwrite(written, coordinates((64, 1024)), tile=(32, 32), compression="zlib", metadata=None)
        small = written.getvalue()
    with io.BytesIO() as written:
        tifffile.imwrite(written, coordinates((512, 2048)), tile=(512, 512), compression="none", metadata=None)
        large = written.getvalue()
    asked = []

    class Asked(InMemory):
        def read(self, ranges):
            asked.append(len(ranges))
            return super().read(ranges)

    for data, expected in ((small, [32, 32]), (large, [1] * 4)):
        (image,) = open_images("/nowhere/x.tif", opener=lambda path, data=data: InMemory(path, data))
        with closing(Reader(image, opener=lambda path, data=data: Asked(path, data))) as reader:
            whole(reader, image.planes[0])
            asked.clear()
            whole(reader, image.planes[0])
            assert asked == expected


def test_an_image_that_ends_too_early_in_memory_is_told_as_one_on_disk():
    with io.BytesIO() as written:
        tifffile.imwrite(written, coordinates((40, 50)), metadata=None)
        data = written.getvalue()
    (image,) = open_images("/nowhere/x.tif", opener=lambda path: InMemory(path, data))
    cut = data[: len(data) - 100]
    with closing(Reader(image, opener=lambda path: InMemory(path, cut))) as reader, pytest.raises(InputError, match=r"x\.tif.*copy"):
        whole(reader, image.planes[0], "rows")
