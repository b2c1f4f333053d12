"""`python -m omezarr_proc`."""

import os
import sys

from omezarr_proc.cli import main

if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # nothing here needs more, and where no thread is allowed it sends SIGINT
    status = main()
    if status:
        sys.stdout.flush()
        os._exit(status)  # python would wait for threads of libraries, which may be stuck in storage
