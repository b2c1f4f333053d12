"""What tifffile and imagecodecs log: nothing of ours gets out, and nothing of others is kept in."""

import logging
import threading

import pytest

from omezarr_proc.host.quiet import LIBRARIES, quiet_libraries


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
