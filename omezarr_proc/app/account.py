"""The account of a run: its first line and its last one, metrics, and the file REPORT, however the run ends.

The report is written when the run begins and again when it ends, each time whole: one that says "running" is of a run that was killed.
"""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from loguru import logger

from omezarr_proc import __version__, commit
from omezarr_proc.app.metrics import metric_lines
from omezarr_proc.app.report import Report
from omezarr_proc.app.results import totals, totals_line
from omezarr_proc.app.stop import CODES, GOES_ON, STOPPED, Terminated
from omezarr_proc.config.secret import Mask
from omezarr_proc.config.settings import Settings
from omezarr_proc.host.files import write_whole
from omezarr_proc.model.errors import Exit, MissingFolderError, ProcError, leading
from omezarr_proc.model.text import shown

SCHEMA_VERSION = 1


class Account:
    """What is said of one run. `ids`: what the platform calls it."""

    def __init__(self, settings: Settings, report: Report, ids: Mapping[str, str]) -> None:
        self._settings, self._report, self._ids = settings, report, dict(ids)
        self._path = settings.report
        self._mask = Mask(settings.secrets())
        self._began, self._clock = datetime.now(UTC), time.monotonic()
        self._level = "INFO" if settings.log_format == "json" else "DEBUG"  # people see the summary

    def begin(self) -> None:
        """Say that the run begins. Raises MissingFolderError where the report cannot be written."""
        facts = {"version": __version__, "commit": commit(), "settings": self._settings.public()}
        logger.bind(event="start", **facts).log(self._level, f"omezarr_proc {__version__} begins")
        for text in self._settings.warnings():
            logger.warning(text)
        self._metrics(None)
        self._write("running", None, None)

    def finish(self) -> None:
        """Say that all images had their turn."""
        first = leading(self._report.failures) if self._report.failures else None
        self.end("finished", first.exit if first else Exit.OK, first.code if first else None, "")

    def end(self, outcome: str, status: int, code: str | None, message: str) -> None:
        """Say how the run ended: "finished", "failed" before it came to the images or between them, or "stopped" by a signal."""
        if outcome == "stopped":
            self._report.results.stop(message, code or "")
        if outcome != "finished" and self._settings.log_format == "json":
            logger.bind(event="error", code=code, status=status).error(message)
        try:
            self._write(outcome, status, code)
        except ProcError as error:  # the disk is full now, say: what became of the images does not change by that
            logger.error(str(error))
        sums, seconds = totals(self._report.results.done), time.monotonic() - self._clock
        codes = sums["codes"] | ({code: sums["codes"].get(code, 0) + 1} if outcome == "failed" else {})
        self._metrics(sums | {"codes": codes})
        text = totals_line(sums, seconds)
        logger.bind(event="end", outcome=outcome, status=status, code=code, seconds=round(seconds, 3), **sums).log(self._level, text)

    def document(self, outcome: str, status: int | None, code: str | None) -> dict[str, Any]:
        """The report, without tokens."""
        results = self._report.results.done
        document = {
            "schema": "omezarr_proc/report",
            "schemaVersion": SCHEMA_VERSION,
            "program": {"name": "omezarr_proc", "version": __version__, "commit": commit()},
            "run": self._ids,
            "began": self._began.isoformat(timespec="milliseconds"),
            "seconds": round(time.monotonic() - self._clock, 3),
            "outcome": outcome,
            "status": status,
            "code": code,
            "settings": self._settings.public(),
            "images": [result.row() for result in results],
            "totals": totals(results),
        }
        masked: dict[str, Any] = self._mask.values(document)
        return masked

    def _metrics(self, sums: dict[str, Any] | None) -> None:
        if self._settings.metrics != "emf":
            return
        seconds = time.monotonic() - self._clock
        for line in metric_lines(sums, seconds, int(time.time() * 1000), self._mask(self._settings.environment), self._ids):
            self._report.write(json.dumps(self._mask.values(line)) + "\n")

    def _write(self, outcome: str, status: int | None, code: str | None) -> None:
        if path := self._path:
            try:
                write_whole(path, json.dumps(self.document(outcome, status, code), indent=1).encode())
            except OSError as error:
                self._path = None  # said once
                raise MissingFolderError(f"REPORT {shown(path)} cannot be written: {error.strerror or error}") from None


@contextmanager
def accounted(account: Account) -> Iterator[None]:
    """Within, the run: its begin and its end are said, whatever it raises, which is raised again."""
    try:
        account.begin()
        yield
    except ProcError as error:
        account.end("failed", error.exit, error.code, str(error))
        raise
    except (KeyboardInterrupt, Terminated) as error:
        status = Exit.TERMINATED if isinstance(error, Terminated) else Exit.INTERRUPTED
        account.end("stopped", status, CODES[status], STOPPED[status] + GOES_ON)
        raise
    except Exception as error:  # a mistake of ours
        account.end("failed", ProcError.exit, ProcError.code, f"unexpected {type(error).__name__}: {error}")
        raise
    else:
        account.finish()
