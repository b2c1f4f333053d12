"""Checksums of chunk files: the polynomial, and what counts as changed."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pyramids import picture, pyramid

from omezarr_proc.model.region import Region
from omezarr_proc.publish.history import Unit
from omezarr_proc.store.checksums import changed, checksum, stored_bytes
from omezarr_proc.store.chunks import ChunkStore
from omezarr_proc.store.codec import codec_for
from omezarr_proc.store.folder import Folder


@pytest.mark.parametrize(
    ("data", "crc"),
    [
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_the_examples_of_rfc_3720(data: bytes, crc: int) -> None:
    """Section B.4."""
    assert checksum(data) == (32).to_bytes(4, "little") + crc.to_bytes(4, "little")


@pytest.fixture
def store(tmp_path: Path) -> ChunkStore:
    """Two channels in a frame, 2 x 3 chunks each, that are written by `unit`."""
    (tmp_path / "staging").mkdir()
    of = replace(pyramid(picture(100, 150, c=2), most=1, names="cyx"), channels=2)
    return ChunkStore(Folder(str(tmp_path / "staging")), of, codec_for("uint8", "zstd", 1))


# Columns 1 and 2 of both channels.
CHUNKS = Region((0, 0, 0, 0, 1), (1, 2, 1, 2, 3))


def paths(store: ChunkStore) -> list[Path]:
    """Where the objects lie."""
    return [Path(store.objects.root, key) for key in store.keys(0, CHUNKS)]  # type: ignore[attr-defined]


@pytest.fixture
def unit(store: ChunkStore) -> Unit:
    """Columns 1 and 2."""
    checksums = b""
    for n, key in enumerate(store.keys(0, CHUNKS)):
        encoded = store.codec.encode(np.random.default_rng(n).integers(0, 256, (1, 64, 64), np.uint8))  # noise: all of one size
        store.objects.put(key, encoded)
        checksums += checksum(encoded)
    return Unit(0, 0, (0, 2), (1, 3), (None, None), stored_bytes(checksums), checksums)


def test_by_row_column_and_channel(store: ChunkStore) -> None:
    assert list(store.keys(0, CHUNKS)) == [f"0/c/{c}/{y}/{x}" for y in (0, 1) for x in (1, 2) for c in (0, 1)]


def test_what_is_as_it_was(store: ChunkStore, unit: Unit) -> None:
    assert unit.bytes == sum(os.path.getsize(path) for path in paths(store))
    for checksums, read in ((unit.checksums, True), (unit.checksums, False), (b"", True)):
        assert changed(store, 0, CHUNKS, checksums, read) == 0


@pytest.mark.parametrize(
    ("damage", "seen"),
    [
        ("gone", "always"),
        ("empty", "always"),
        ("cut", "always"),
        ("longer", "always"),
        ("folder", "always"),
        ("pipe", "always"),
        ("link", "always"),
        ("zeros", "read"),
        ("bit", "read"),
        ("swapped", "read"),
    ],
)
def test_what_is_not(store: ChunkStore, unit: Unit, damage: str, seen: str) -> None:
    path, other = paths(store)[2:4]
    data = path.read_bytes()
    path.unlink()
    match damage:
        case "empty" | "cut" | "longer" | "zeros" | "bit":
            ways = {
                "empty": b"",
                "cut": data[:-1],
                "longer": data + b"0",
                "zeros": bytes(len(data)),
                "bit": data[:-1] + bytes([data[-1] ^ 4]),
            }
            path.write_bytes(ways[damage])
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "link":
            path.symlink_to(other)
        case "swapped":
            other.rename(path)
            other.write_bytes(data)
    count = 2 if damage == "swapped" else 1
    assert changed(store, 0, CHUNKS, unit.checksums) == count
    assert changed(store, 0, CHUNKS, unit.checksums, read=False) == (count if seen == "always" else 0)


@pytest.mark.parametrize("data", [b"", b"short", None])
def test_without_checksums_what_cannot_be_decoded_has_changed(store: ChunkStore, unit: Unit, data: bytes | None) -> None:
    path = paths(store)[0]
    if data is None:
        path.unlink()
    else:
        path.write_bytes(data)
    assert changed(store, 0, CHUNKS, b"") == 1
