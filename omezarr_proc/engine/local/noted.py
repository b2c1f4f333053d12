"""What workers note of one source, as warnings of the log: each once, and not more than can be read."""

from loguru import logger

MOST = 20  # lines


class NotedLog:
    """The lines of one source. Segments that two workers decode are noted twice and logged once."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._seen: set[str] = set()

    def add(self, text: str) -> None:
        """Log a line, at level DEBUG when there were many."""
        if text in self._seen:
            return
        if len(self._seen) == MOST:
            logger.debug(text)
            return
        self._seen.add(text)
        logger.warning(text)
        if len(self._seen) == MOST:
            logger.warning(f"{self.source}: further lines of this kind are only shown by LOG_LEVEL=DEBUG")
