"""What libraries log of broken files, which is reported as an error anyway."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

LIBRARIES = ("tifffile", "imagecodecs")


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
