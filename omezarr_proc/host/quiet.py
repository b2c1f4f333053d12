"""What libraries say of broken files, which is reported as an error anyway."""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

LIBRARIES = ("tifffile", "imagecodecs")
STDERR = 2

_only_one = threading.Lock()  # another one would keep the null device as what is to come back


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Within, what these libraries log in this thread goes nowhere. Other threads, and the caller's own logging, are left as they are."""
    thread = threading.get_ident()

    def is_foreign(record: logging.LogRecord) -> bool:
        return record.thread != thread

    loggers = [logging.getLogger(name) for name in LIBRARIES]
    for logger in loggers:
        logger.addFilter(is_foreign)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(is_foreign)


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Within, what is written to this process's stderr goes nowhere: some C libraries write there, thousands of lines for one file."""
    with _only_one:
        try:
            null = os.open(os.devnull, os.O_WRONLY)
        except OSError:  # too many files are open: noise is no reason to fail
            yield
            return
        try:
            kept = os.dup(STDERR)
        except OSError:  # there is none
            os.close(null)
            yield
            return
        try:
            os.dup2(null, STDERR)
            os.close(null)
            yield
        finally:
            os.dup2(kept, STDERR)
            os.close(kept)
