"""AWS Lambda: an event becomes settings, then the same run as on the command line.

The event never reaches the log or the process environment, and nothing of it outlives the invocation.
"""

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

# Whatever an event needs is imported while Lambda starts the function: that time has whole CPUs, and is none of an event's.
import omezarr_proc.app.account
import omezarr_proc.app.batch
import omezarr_proc.app.log
import omezarr_proc.app.metrics
import omezarr_proc.app.progress
import omezarr_proc.app.together
import omezarr_proc.build.advice
import omezarr_proc.build.certified
import omezarr_proc.build.image
import omezarr_proc.build.one_file
import omezarr_proc.build.plate
import omezarr_proc.build.preview
import omezarr_proc.engine.local.engine
import omezarr_proc.engine.local.worker
import omezarr_proc.tiff.describe.images
import omezarr_proc.tiff.file.coming  # noqa: F401
from omezarr_proc.app.collect import collect
from omezarr_proc.app.words import warn_of_misspelt
from omezarr_proc.config.reading import read_settings
from omezarr_proc.config.secret import Mask, leave_no_core
from omezarr_proc.config.settings import Settings, table
from omezarr_proc.model.errors import ProcError, SettingsError, leading

if TYPE_CHECKING:
    from omezarr_proc.app.results import Result

PAYLOAD = {
    "inputDir": "INPUT_DIR",
    "outputDir": "OUTPUT_DIR",
    "workflowInstanceId": "WORKFLOW_INSTANCE_ID",
    "executionRunId": "EXECUTION_RUN_ID",
    "computeNodeId": "COMPUTE_NODE_ID",
    "integrationId": "INTEGRATION_ID",
    "sessionToken": "SESSION_TOKEN",
    "refreshToken": "REFRESH_TOKEN",
}
NAMED_FAILURES = 20  # in the error message
NAMED_LENGTH = 1000  # characters of each
NO_MASK = Mask(())
ANSWER_BYTES = 200 << 10  # AWS Step Functions takes 256 KiB between two states


def handler(event: Mapping[str, Any], context: object = None) -> dict[str, Any]:
    """Convert what the event names and return status, workflowInstanceId and one entry per image.

    Raises SettingsError for wrong settings, and the error that says what to do when inputs failed, so that the platform sees it: each code
    of docs/runbook.md is an error type of its own.
    """
    vars(sys).pop("tracebacklimit", None)
    debug = False
    try:
        overrides, ignored = overrides_of(event)
        settings, wrong = read_settings(os.environ, overrides)
        debug = settings.log_level == "DEBUG"
        if settings.secrets():
            leave_no_core()
        with Mask(settings.secrets()).errors():
            return convert(settings, ignored, context, wrong)
    except ProcError:
        if not debug and os.environ.get("AWS_LAMBDA_RUNTIME_API"):
            sys.tracebacklimit = 0  # else the runtime logs our frames behind the error, which says it all
        raise


def convert(settings: Settings, ignored: Sequence[str], context: object, wrong: SettingsError | None) -> dict[str, Any]:
    """Convert, unless the settings are `wrong`, and return what there is to say of it. Raises ProcError when an input failed.

    ignored  keys of the event that are no settings
    """
    from loguru import logger

    from omezarr_proc.app import log, progress
    from omezarr_proc.app.account import Account, accounted

    request = getattr(context, "aws_request_id", None)
    ids = settings.ids() | ({"requestId": request} if request else {})
    report = progress.make_report(lines=True)
    log.configure(settings, report.write, ids=ids)
    warn_of_misspelt([*os.environ, *ignored])
    try:
        with accounted(Account(settings, report, ids)):
            if wrong:
                raise wrong
            if ignored:
                logger.debug(f"{len(ignored)} keys of the event are no settings and are ignored")
            found = collect(settings, create_output=True)

            from omezarr_proc.app import batch as process

            process.run(settings, found, report, deadline=deadline_of(context))
    finally:
        report.end()
        log.close()
    if report.failures:
        raise failure(report.failures, len(report.results.done))
    return result_of(settings, report.results.done, Mask(settings.secrets()))


def overrides_of(event: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """Return the settings by variable name, and the keys that are none. Raises SettingsError for values that cannot be a setting's."""
    if not isinstance(event, Mapping):
        raise SettingsError("the event must be an object with inputDir and outputDir")
    names = {entry.variable: entry.variable for entry in table()} | PAYLOAD
    known = {key: value for key, value in event.items() if key in names}
    wrong = [key for key, value in known.items() if not isinstance(value, str | int | float | None)]
    if wrong:
        raise SettingsError(f"wrong settings: {', '.join(wrong)} must be text or a number")
    texts = {names[key]: str(int(value)) if isinstance(value, bool) else str(value) for key, value in known.items() if value is not None}
    return texts, [str(key) for key in event if key not in known]


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


def result_of(settings: Settings, results: "Sequence[Result]", mask: Mask = NO_MASK) -> dict[str, Any]:
    """Say what came out: the totals, then an entry for each image as long as all stays below ANSWER_BYTES; the report has the rest."""
    from omezarr_proc.app.results import totals

    answer: dict[str, Any] = {"status": "success", **mask.values(settings.ids()), "totals": totals(results)}
    if settings.report:
        answer["report"] = mask(str(settings.report))
    images: list[dict[str, Any]] = []
    room = ANSWER_BYTES - len(json.dumps(answer)) - 100
    for result in results:
        image = mask.values({name: value for name, value in result.row().items() if value is not None})
        room -= len(json.dumps(image)) + 2
        if room < 0:
            break
        images.append(image)
    left = len(results) - len(images)
    return answer | {"images": images} | ({"moreImages": left} if left else {})
