"""The log: short lines for people or JSON lines for collectors, written by the calling thread, never holding a token.

loguru runs without its queue, since that needs a thread and semaphores, which AWS Lambda lacks.
"""

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from loguru import logger

from omezarr_proc.app.standard import say
from omezarr_proc.app.stop import json_entry
from omezarr_proc.config.secret import Mask
from omezarr_proc.config.settings import Settings
from omezarr_proc.model.text import one_line

if TYPE_CHECKING:
    from loguru import Message

Write = Callable[[str], None]


def configure(
    settings: Settings,
    write: Write | None = None,
    *,
    quiet: bool = False,
    ids: Mapping[str, str] | None = None,
    many: Callable[[], bool] = lambda: False,
) -> None:
    """Send all messages to `write` (stderr by default), from now until `close`; `quiet` leaves out what is less than a warning.

    ids   what every JSON line says of the run
    many  whether there are so many images that information on each is left out, asked for each line; what is progress is shown
    """
    mask = Mask(settings.secrets())
    form = partial(json_line, ids=mask.values(ids or {})) if settings.log_format == "json" else text_line
    out = write or say
    quiet = quiet and settings.log_level in ("DEBUG", "INFO")
    logger.enable("omezarr_proc")
    logger.remove()
    logger.add(
        lambda message: out(form(message, mask)),
        level="WARNING" if quiet else settings.log_level,
        filter=lambda record: record["level"].name != "INFO" or record["extra"].get("event") == "progress" or not many(),
        format="{message}",
        diagnose=False,  # would print the values of variables into tracebacks
        backtrace=False,
        enqueue=False,
        catch=False,
    )


def close() -> None:
    """Drop the configuration and with it the tokens that it knew; messages go nowhere until the next `configure`."""
    logger.remove()


def text_line(message: "Message", mask: Mask) -> str:
    """`12:34:56 WARNING message`, then the traceback where there is one; plain information goes without its level."""
    record = message.record
    level = "" if record["level"].name == "INFO" else f"{record['level'].name} "
    return f"{record['time']:HH:mm:ss} {level}{one_line(mask(record['message']))}\n{_traceback(message, mask)}"


def json_line(message: "Message", mask: Mask, ids: Mapping[str, str]) -> str:
    """One object: time (ISO 8601), level, event, message, ids, what the caller bound, and the traceback where there is one.

    An event has a name that never changes (docs/runbook.md lists them); what has none is a "note".
    """
    record = message.record
    event = record["extra"].get("event", "note")
    entry = json_entry(record["time"], record["level"].name, event, mask(record["message"]), ids)
    entry |= {name: mask.values(value) for name, value in record["extra"].items() if name not in entry}
    traceback = _traceback(message, mask)
    return json.dumps(entry | ({"exception": traceback} if traceback else {})) + "\n"


def _traceback(message: "Message", mask: Mask) -> str:
    record = message.record
    return mask(str(message)[len(record["message"]) :].lstrip("\n")) if record["exception"] else ""
