"""`python -m omezarr_proc` and the command `omezarr-proc`."""

import os
import sys
from typing import NoReturn

from omezarr_proc.cli import main


def run() -> NoReturn:
    """Run the command line and end the process."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # nothing here needs more, and where no thread is allowed it sends SIGINT
    status = main()
    sys.stdout.flush()
    os._exit(status)  # python would tear down every module, and wait for threads of libraries, which may be stuck in storage


if __name__ == "__main__":
    run()
