"""The walk over directories: both byte orders and sizes, and everything a broken file can do to it."""

import struct
import time

import pytest
from tiffs import build, grey

from omezarr_proc.model.errors import InputError
from omezarr_proc.tiff.file import ifd
from omezarr_proc.tiff.file.bytes import InMemory


@pytest.fixture
def walk():
    return lambda content: ifd.Ifds(InMemory("x.tif", content))


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("big", [False, True])
def test_tags_of_all_kinds_of_file(walk, order, big):
    pages = [grey(bytes(12), 4, 3, t258=(3, [8, 9, 10]), t270=(2, b"caf\xc3\xa9\0"), t40000=(1, b"\x05")) for _ in range(3)]
    ifds = walk(build(pages, order, big))
    chain = ifds.chain()
    assert len(chain) == 3
    assert ifds.integers(chain[2], 258).tolist() == [8, 9, 10]
    assert (ifds.integer(chain[0], 256, 0), ifds.integer(chain[0], 999, 7), ifds.integer(chain[1], 40000, 0)) == (4, 7, 5)
    assert ifds.text(chain[0], 270) == "café"
    assert ifds.text(chain[0], 256) == ""


def test_texts_that_are_not_utf8_are_windows_1252(walk):
    ifds = walk(build([grey(b"\0", 1, 1, t270=(2, b"0.5 \xb5m\0junk"))]))
    assert ifds.text(ifds.ifd(ifds.first), 270) == "0.5 µm"


def test_rationals(walk):
    ifds = walk(build([grey(b"\0", 1, 1, t282=(1, b"x"))]))
    page = ifds.ifd(ifds.first)
    assert ifds.rational(page, 282) is None  # not a rational
    assert ifds.rational(page, 283) is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"hello, world, this is text", "not a TIFF"),
        (b"II*\0", "not a TIFF"),
        (b"II)\0\x08\0\0\0", "version 41"),
        (b"II*\0\xff\xff\xff\x7f", "outside the file"),
        (b"II*\0\0\0\0\0", "no page"),
        (b"II*\0\x08\0\0\0\0\0\0\0", "0 tags"),
        (b"II*\0\x08\0\0\0\xff\xff", "65535 tags"),
        (b"II*\0\x08\0\0\0\x05\0" + bytes(20), "cut off"),
        (b"II+\0\x04\0\0\0" + bytes(8), "not a valid TIFF"),
    ],
)
def test_broken_files_are_refused_in_one_line(walk, content, reason):
    with pytest.raises(InputError, match=reason) as error:
        walk(content).chain()
    assert "\n" not in str(error.value)
    assert "x.tif" in str(error.value)


@pytest.mark.parametrize("target", [0, 1, 2])
def test_loops_are_found(walk, target):
    content = build([grey(b"\0", 1, 1)] * 3, following=lambda starts: starts[target])
    with pytest.raises(InputError, match="loops"):
        walk(content).chain()


def test_a_million_pages_end_in_bounded_time(walk):
    entry = struct.pack("<HHHII", 1, 256, 3, 1, 1)
    count, size = ifd.MAX_PAGES + 1000, len(entry) + 4
    content = b"II*\0\x08\0\0\0" + b"".join(entry + struct.pack("<I", 8 + (i + 1) * size) for i in range(count))
    began = time.monotonic()
    with pytest.raises(InputError, match="more than"):
        walk(content).chain()
    assert time.monotonic() - began < 30


def test_a_tag_that_claims_gigabytes_allocates_nothing(walk):
    content = bytearray(build([grey(b"\0", 1, 1, t270=(2, b"some text\0"))]))
    at = content.index(struct.pack("<HHI", 270, 2, 10))
    content[at + 4 : at + 8] = b"\xff\xff\xff\xff"
    ifds = walk(bytes(content))
    with pytest.raises(InputError, match="bytes; the file is corrupt"):
        ifds.text(ifds.ifd(ifds.first), 270)
