"""AWS Lambda: an event becomes settings, then the same run as on the command line.

The event never reaches the log or the process environment, and nothing of it outlives the invocation.
"""

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

# Whatever an event needs is imported while Lambda starts the function: that time has whole CPUs, and is none of an event's.
import omezarr_proc.app.batch
import omezarr_proc.app.log
import omezarr_proc.build.image
import omezarr_proc.build.preview
import omezarr_proc.engine.local.engine
import omezarr_proc.engine.local.worker
import omezarr_proc.tiff.describe.images  # noqa: F401
from omezarr_proc.config.secret import Mask, leave_no_core
from omezarr_proc.config.settings import Settings, table
from omezarr_proc.model.errors import ProcError, SettingsError, leading

PAYLOAD = {
    "inputDir": "INPUT_DIR",
    "outputDir": "OUTPUT_DIR",
    "workflowInstanceId": "WORKFLOW_INSTANCE_ID",
    "sessionToken": "SESSION_TOKEN",
    "refreshToken": "REFRESH_TOKEN",
}
NAMED_FAILURES = 20  # in the error message
NAMED_LENGTH = 1000  # characters of each
NO_MASK = Mask(())
RETURNED_IMAGES = 5000  # in the result: Lambda ends a runtime that answers more than 6 MB


def handler(event: Mapping[str, Any], context: object = None) -> dict[str, Any]:
    """Convert what the event names and return status, workflowInstanceId and one entry per image.

    Raises SettingsError for wrong settings, and the error that says what to do when inputs failed, so that the platform sees it: each code
    of docs/runbook.md is an error type of its own.
    """
    overrides, ignored = overrides_of(event)
    settings = Settings.load(os.environ, overrides)
    if settings.secrets():
        leave_no_core()
    with Mask(settings.secrets()).errors():
        return convert(settings, ignored, deadline_of(context))


def convert(settings: Settings, ignored: int, deadline: float | None) -> dict[str, Any]:
    """Convert and return what there is to say of it. Raises ProcError when an input failed."""
    from loguru import logger

    from omezarr_proc.app import inputs, log, progress

    report = progress.make_report(lines=True)
    log.configure(settings, report.write)
    try:
        if ignored:
            logger.debug(f"{ignored} keys of the event are no settings and are ignored")
        found = inputs.collect(settings, create_output=True)

        from omezarr_proc.app import batch as process

        results = process.run(settings, found, report, deadline=deadline)
    finally:
        report.end()
        log.close()
    failed = [result.error for result in results if result.error]
    if failed:
        raise failure(failed, len(results))
    return result_of(settings, report, Mask(settings.secrets()))


def overrides_of(event: Mapping[str, Any]) -> tuple[dict[str, str], int]:
    """Return the settings by variable name, and how many keys were none. Raises SettingsError for values that cannot be a setting's."""
    if not isinstance(event, Mapping):
        raise SettingsError("the event must be an object with inputDir and outputDir")
    names = {entry.variable: entry.variable for entry in table()} | PAYLOAD
    known = {key: value for key, value in event.items() if key in names}
    wrong = [key for key, value in known.items() if not isinstance(value, str | int | float | None)]
    if wrong:
        raise SettingsError(f"wrong settings: {', '.join(wrong)} must be text or a number")
    texts = {names[key]: str(int(value)) if isinstance(value, bool) else str(value) for key, value in known.items() if value is not None}
    return texts, len(event) - len(known)


def deadline_of(context: object) -> float | None:
    """Return when this invocation will be killed, as time.monotonic() counts; None when the context does not tell."""
    remaining = getattr(context, "get_remaining_time_in_millis", None)
    return time.monotonic() + remaining() / 1000 if remaining else None


def failure(failed: Sequence[ProcError], total: int) -> ProcError:
    """One error for all that failed: of the kind that leads them, naming the first NAMED_FAILURES."""
    named = (str(error)[:NAMED_LENGTH] for error in failed[:NAMED_FAILURES])
    more = f"; and {len(failed) - NAMED_FAILURES} more" if len(failed) > NAMED_FAILURES else ""
    kind = leading(failed).kind
    return kind(f"{len(failed)} of {total} inputs failed: {'; '.join(named)}{more}")


def result_of(settings: Settings, report: Any, mask: Mask = NO_MASK) -> dict[str, Any]:
    """Say what came out, one entry per image up to RETURNED_IMAGES."""
    images = [
        {
            "dataset": mask(done.name),
            "status": "converted",
            "shape": list(done.shape),
            "levels": done.levels,
            "chunks": done.chunks,
            "bytes": done.stored_bytes,
            "seconds": round(done.seconds, 3),
        }
        for done in report.summaries
    ]
    images += [{"dataset": mask(name), "status": mask(reason)} for name, reason in report.skipped]
    result: dict[str, Any] = {"status": "ok", "workflowInstanceId": settings.workflow_instance_id, "images": images[:RETURNED_IMAGES]}
    return result | ({"moreImages": len(images) - RETURNED_IMAGES} if len(images) > RETURNED_IMAGES else {})
