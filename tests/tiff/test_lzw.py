"""What imagecodecs encodes passes; corrupt streams that would end its decoder's process do not."""

import struct
import subprocess
import sys

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omezarr_proc.tiff.read import claims, lzw


@given(st.integers(0, 40000), st.integers(1, 256), st.integers(0, 9))
def test_what_is_encoded_is_valid(size, levels, seed):
    data = np.random.default_rng(seed).integers(0, levels, size, dtype="u1").tobytes()
    encoded = imagecodecs.lzw_encode(data)
    assert lzw.invalid(encoded) is None
    assert lzw.invalid(memoryview(encoded)) is None


def codes(values, width=9):
    text = "".join(f"{value:0{width}b}" for value in values)
    return int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8), "big")


@pytest.mark.parametrize(
    ("values", "valid"),
    [([256, 65, 258, 257], True), ([256, 379, 65, 257], False), ([256, 65, 259, 257], False), ([256, 65, 66, 259, 256, 258, 257], False),
     ([256, 256, 65, 257], True), ([256, 65, 257, 400, 400], True)],
)  # fmt: skip
def test_codes_that_are_not_in_the_table(values, valid):
    assert (lzw.invalid(codes(values)) is None) == valid


@given(st.integers(0, 40000), st.sampled_from((2, 16, 256)), st.integers(0, 2**32 - 1), st.integers(0, 3), st.booleans())
def test_compiled_and_numpy_find_the_same(size, levels, seed, changes, cut):
    rng = np.random.default_rng(seed)
    data = bytearray(imagecodecs.lzw_encode(rng.integers(0, levels, size, dtype="u1").tobytes()))
    for at in rng.integers(0, len(data), changes):
        data[at] = rng.integers(0, 256)
    data = bytes(data[: int(rng.integers(0, len(data) + 1))] if cut else data)
    assert lzw._compiled(data) == lzw.numpy_wrong_code(data)


@pytest.mark.skipif(lzw._decode is None, reason="installed without a compiler")
@given(st.integers(0, 60000), st.sampled_from((1, 2, 16, 256)), st.integers(0, 2**32 - 1), st.integers(0, 70000))
def test_decoded_as_imagecodecs_does(size, levels, seed, room):
    rng = np.random.default_rng(seed)
    data = np.repeat(rng.integers(0, levels, size, dtype="u1"), int(rng.integers(1, 9)))[:size].tobytes()  # with runs, too
    encoded = imagecodecs.lzw_encode(data)
    assert lzw.decode(encoded, room) == data[:room]
    cut = encoded[: int(rng.integers(0, len(encoded) + 1))]
    begin = lzw.decode(cut, size)
    assert begin == data[: len(begin)]
    assert len(begin) == len(data) if len(cut) == len(encoded) else 8 * len(cut) < 12 * (len(begin) + 3)


@pytest.mark.skipif(lzw._decode is None, reason="installed without a compiler")
@given(st.integers(1, 40000), st.sampled_from((2, 16, 256)), st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_the_decoder_refuses_what_the_check_refuses(size, levels, seed, changes):
    rng = np.random.default_rng(seed)
    data = bytearray(imagecodecs.lzw_encode(rng.integers(0, levels, size, dtype="u1").tobytes()))
    for at in rng.integers(0, len(data), changes):
        data[at] = rng.integers(0, 256)
    reason = lzw.invalid(data)
    room = 4096 * 8 * len(data)  # for all that so many bytes could stand for
    if data[0] == 0 and data[1] & 1:
        assert lzw.decode(bytes(data), room) is None
    elif reason:
        with pytest.raises(ValueError) as raised:
            lzw.decode(bytes(data), min(room, 1 << 26))
        assert str(raised.value) == reason
    elif data[0] == 128 and data[1] < 128:  # it begins by clearing the table: imagecodecs wants that
        made = lzw.decode(bytes(data), room := min(room, 1 << 20))
        assert abs(len(made) - len(imagecodecs.lzw_decode(bytes(data), out=room))) <= 1  # a last code that is cut off is not one for us
        assert made[:-1] == imagecodecs.lzw_decode(bytes(data), out=room)[: len(made) - 1]


@pytest.mark.parametrize("find", [lzw.numpy_wrong_code, lzw._compiled])
def test_a_table_that_is_never_cleared(find):
    full = "".join([f"{256:09b}", *(f"{65:0{9 if n < 254 else 10 if n < 766 else 11 if n < 1790 else 12}b}" for n in range(3840))])
    for more, wrong in ((3839, False), (3841, True)):
        text = full + f"{70:012b}" * more
        data = int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8), "big")
        assert (find(data) is not None) == wrong


PROGRAM = """
import random, sys
import imagecodecs
from omezarr_proc.tiff.read import lzw
r = random.Random(int(sys.argv[1]))
goods = [imagecodecs.lzw_encode(bytes(r.randrange(n) for _ in range(m))) for n in (3, 40, 256) for m in (100, 3000, 20000)]
passed = 0
for _ in range(4000):
    data = bytearray(r.choice(goods))
    for _ in range(r.randint(1, 3)):
        data[r.randrange(len(data))] = r.randrange(256)
    if lzw.invalid(bytes(data)) is None:
        passed += 1
        try:
            imagecodecs.lzw_decode(bytes(data), out=20000)
        except Exception:
            pass
assert passed > 100
"""


def test_corrupt_streams_that_pass_do_not_end_the_process():
    run = subprocess.run([sys.executable, "-c", PROGRAM, "1"], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-500:]


@settings(max_examples=200)
@given(st.binary(max_size=200), st.sampled_from(["jpeg", "jpeg2000", "png", "webp", "lerc", "jpegxl", "jpegxr", "lzw", "deflate"]))
def test_claims_of_any_bytes(data, compression):
    found = claims.claim(data, compression)
    assert found is None or min(found) >= 0
    assert lzw.invalid(data) is None or isinstance(lzw.invalid(data), str)


def test_claims_of_encoded_images():
    pixels = np.zeros((37, 53, 3), np.uint8)
    encoders = {"jpeg": imagecodecs.jpeg8_encode, "jpeg2000": imagecodecs.jpeg2k_encode, "png": imagecodecs.png_encode,
                "webp": imagecodecs.webp_encode, "lerc": imagecodecs.lerc_encode}  # fmt: skip
    for name, encode in encoders.items():
        encoded = encode(pixels)
        assert claims.claim(encoded, name) == (53, 37)
        assert claims.excessive(encoded, name, 53, 37) is None
    lossy = imagecodecs.webp_encode(pixels, level=50, lossless=False)
    assert claims.claim(lossy, "webp") == (53, 37)
    for stream in (lossy, imagecodecs.webp_encode(pixels, lossless=True)):
        assert claims.claim(stream[12:], "webp") == claims.claim(stream[20:], "webp") == (53, 37)
        assert imagecodecs.webp_decode(stream[12:]).shape == (37, 53, 3)
    assert claims.excessive(b"\xff\xd8\xff\xc0\0\x0b\x08\xff\xff\xff\xff\1\1\x11\0" + bytes(9), "jpeg", 64, 64)


def test_claims_of_more_samples_than_there_are():
    pixels = np.zeros((64, 64, 3), np.uint8)
    lerc, two_thousand = bytearray(imagecodecs.lerc_encode(pixels)), bytearray(imagecodecs.jpeg2k_encode(pixels, codecformat="j2k"))
    assert claims.claimed_samples(lerc, "lerc") == claims.claimed_samples(two_thousand, "jpeg2000") == 3
    lerc[22:26], two_thousand[40:42] = struct.pack("<i", 1 << 21), struct.pack(">H", 16384)
    assert claims.excessive(lerc, "lerc", 64, 64, 3) == "it claims 64 x 64 pixels of 2097152 samples for 64 x 64"
    assert "16384 samples" in (claims.excessive(two_thousand, "jpeg2000", 64, 64, 3) or "")


@pytest.mark.parametrize("sides", [(37, 53), (8, 8), (64, 128), (200, 100), (1000, 1200), (9, 700), (3, 1), (1, 70000), (2160, 3840)])
@pytest.mark.parametrize("boxed", [False, True])
def test_claims_of_every_size(sides, boxed):
    pixels = np.zeros((*sides, 3), np.uint8)
    xl = imagecodecs.jpegxl_encode(pixels, usecontainer=boxed, effort=1)
    assert claims.claim(xl, "jpegxl") == sides[::-1]
    two_thousand = imagecodecs.jpeg2k_encode(pixels, codecformat="jp2" if boxed else "j2k")
    assert claims.claim(two_thousand, "jpeg2000") == sides[::-1]
    assert claims.claim(imagecodecs.jpegxr_encode(pixels), "jpegxr") == sides[::-1]


@pytest.mark.parametrize(("compression", "sides"), [("jpegxl", (1 << 18, 1 << 18)), ("jpegxr", (1 << 31, 1 << 31))])
def test_a_claim_of_gigapixels_is_excessive(compression, sides):
    bits = 0 | 2 << 1 | (sides[0] - 1) << 3 | 1 << 21  # not small, 18 bits of height, as wide as high
    bombs = {"jpegxl": b"\xff\x0a" + bits.to_bytes(12, "little"),
             "jpegxr": b"WMPHOTO\0\x11\0\0\x71" + struct.pack(">2I", sides[0] - 1, sides[1] - 1)}  # fmt: skip
    assert claims.claim(bombs[compression], compression) == sides
    assert claims.excessive(bombs[compression], compression, 256, 256)
