"""What is not supported is said to be so, not called corrupt; what is refused is said in our words."""

from contextlib import closing

import pytest
from reading import opened, refusal, whole
from tiffs import build, grey, save

from omezarr_proc.model.errors import UnsupportedInputError


@pytest.mark.parametrize("code", [2, 3, 4])
def test_ccitt_of_several_samples_is_not_supported(tmp_path, code):
    tags = {"t258": (3, [1, 1, 1]), "t277": (3, [3]), "t262": (3, [2]), "t259": (3, [code])}
    message = refusal(save(tmp_path / "x.tif", build([grey(b"\x00\x10\x01" * 40, 20, 9, **tags)])))
    assert "CCITT compression of 3 samples" in message
    assert "corrupt" not in message


def test_old_style_jpeg_that_cannot_be_decoded_may_be_sound(tmp_path):
    path = save(tmp_path / "x.tif", build([grey(b"\xff\xda\0\x08\x01\x01\0\0?\0" * 9, 16, 16, t259=(3, [6]), t262=(3, [6]))]))
    image, reader = opened(path)
    with closing(reader), pytest.raises(UnsupportedInputError, match=r"is old-style JPEG in a form that is not supported, or corrupt"):
        whole(reader, image.planes[0])


@pytest.mark.parametrize("code", [262, 277])
def test_what_python_says_of_nonsense_in_tags_is_not_passed_on(tmp_path, code):
    message = refusal(save(tmp_path / "x.tif", build([grey(bytes(256), 16, 16, **{f"t{code}": (3, [1, 1])})])))
    assert "its tags contradict each other" in message
