"""What all tests share: Ctrl-C, the log, and how hypothesis chooses its examples.

No time limit per example, since the machines that run them are shared and noisy. Ordinarily the same examples every time, so that a test
that fails does so because of a change; `make soak` looks for new ones, and names their seed.
"""

import shutil
import signal

import pytest
from hypothesis import settings
from loguru import logger

# A shell starts what runs in the background with SIGINT ignored, and the programs that tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Debian packages that have what some tests need, by a program of each; chromium-driver brings chromium.
PACKAGES = {"tiffcp": "libtiff-tools", "vips": "libvips-tools", "strace": "strace", "unshare": "util-linux", "cc": "gcc", "make": "make"}
PACKAGES |= {"chromedriver": "chromium-driver"}


def pytest_report_header() -> str:
    """One line at the begin: what to install, so that no test skips for want of it."""
    missing = sorted(package for program, package in PACKAGES.items() if not shutil.which(program))
    if not missing:
        return "all Debian packages that tests use are there"
    return f"some tests skip for want of packages: apt-get install {' '.join(missing)}"


@pytest.fixture(autouse=True)
def _log() -> None:
    """`omezarr_proc.api` disables the log of the process that imports it, as some test before may have done."""
    logger.enable("omezarr_proc")


settings.register_profile("same", deadline=None, derandomize=True)
settings.register_profile("fresh", deadline=None, derandomize=False, print_blob=True)
settings.load_profile("same")
