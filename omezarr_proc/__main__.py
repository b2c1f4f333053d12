"""`python -m omezarr_proc` and the command `omezarr-proc`."""

import os
import sys
from contextlib import suppress
from typing import NoReturn

from omezarr_proc.app import standard
from omezarr_proc.cli import main


def run() -> NoReturn:
    """Run the command line and end the process."""
    standard.open_missing()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # nothing here needs more, and where no thread is allowed it sends SIGINT
    status = main()
    with suppress(OSError, ValueError):  # what had to be printed is; the work is done, whoever reads of it
        sys.stdout.flush()
    os._exit(status)  # python would tear down every module, and wait for threads of libraries, which may be stuck in storage


if __name__ == "__main__":
    run()
