"""What tifffile and imagecodecs log, and jxrlib writes: nothing of ours gets out, and nothing of others is kept in."""

import logging
import os
import subprocess
import sys
import threading
from contextlib import closing

import imagecodecs
import numpy as np
import pytest
from reading import opened, whole
from tiffs import build, coordinates, grey, save

from omezarr_proc.host.quiet import LIBRARIES, quiet_libraries
from omezarr_proc.tiff.read import decode


@pytest.mark.parametrize("name", LIBRARIES)
def test_only_what_this_thread_does_within_is_quiet(name: str, caplog: pytest.LogCaptureFixture):
    library = logging.getLogger(name)
    with quiet_libraries():
        library.error("ours")
        other = threading.Thread(target=library.error, args=["another thread's"])
        other.start()
        other.join()
    library.error("afterwards")
    assert caplog.messages == ["another thread's", "afterwards"]
    assert library.filters == []


def test_it_nests():
    with quiet_libraries(), quiet_libraries():
        pass
    assert [logging.getLogger(name).filters for name in LIBRARIES] == [[], []]


def test_what_a_decoder_of_jpeg_xr_writes_to_stderr_is_nowhere(tmp_path, capfd, monkeypatch):
    """Whether jxrlib writes there hangs on how it was built, so here its decoder is one that does."""
    decoded = decode._decoded

    def talking(*arguments):
        os.write(2, b"Unrecognized WMPTag\n" * 1000)
        return decoded(*arguments)

    monkeypatch.setattr(decode, "_decoded", talking)
    pixels = coordinates((16, 16), "uint8", 3)
    colours = {"t258": (3, [8, 8, 8]), "t277": (3, [3]), "t262": (3, [2]), "t259": (3, [34934])}
    image, reader = opened(save(tmp_path / "x.tif", build([grey(imagecodecs.jpegxr_encode(pixels, level=1.0), 16, 16, **colours)])))
    with closing(reader):
        assert np.array_equal(whole(reader, image.planes[0]), pixels)
    os.write(2, b"ours\n")
    assert capfd.readouterr().err == "ours\n"


def test_where_stderr_is_closed_nothing_happens():
    program = "import os; os.close(2)\nfrom omezarr_proc.host.quiet import quiet_stderr\nwith quiet_stderr(): print('within')"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False).stdout == "within\n"
