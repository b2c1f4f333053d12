"""A run in CloudWatch's embedded metric format: one JSON object a line, of which CloudWatch Logs makes metrics. Pure.

The format: "Specification: Embedded metric format" in the Amazon CloudWatch User Guide. A root object with the values beside `_aws`, which
holds the time in ms since 1970 and which of them are metrics, under which dimensions.
"""

from collections.abc import Iterator, Mapping
from typing import Any

NAMESPACE = "OMEZarrProc"


def metric_lines(
    totals: Mapping[str, Any] | None, seconds: float, now_ms: int, environment: str, ids: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    """The lines of a run that begins (`totals` None) or has ended, with one more for each error code.

    environment  the dimension Environment, "none" where it is not known
    ids          are in the lines, but no dimensions: each would be a metric of its own
    """
    known = {"Environment": environment or "none"}
    if totals is None:
        yield _line({"Started": (1, "Count")}, now_ms, known, ids)
        return
    values = {
        "Ended": (1, "Count"),
        "Converted": (totals["converted"], "Count"),
        "Skipped": (totals["skipped"], "Count"),
        "Failed": (totals["failed"], "Count"),
        "Stopped": (totals["stopped"], "Count"),
        "Retries": (totals["retries"], "Count"),
        "Objects": (totals["objects"], "Count"),
        "StoredBytes": (totals["bytes"], "Bytes"),
        "Duration": (round(seconds, 3), "Seconds"),
    }
    if totals["peakMemory"] is not None:
        values["PeakMemory"] = (totals["peakMemory"], "Bytes")
    yield _line(values, now_ms, known, ids)
    for code, count in totals["codes"].items():
        yield _line({"Failures": (count, "Count")}, now_ms, known | {"Code": code}, ids)


def _line(values: Mapping[str, tuple[float, str]], now_ms: int, dimensions: Mapping[str, str], ids: Mapping[str, str]) -> dict[str, Any]:
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [list(dimensions)],
        "Metrics": [{"Name": name, "Unit": unit} for name, (_, unit) in values.items()],
    }
    metadata = {"_aws": {"Timestamp": now_ms, "CloudWatchMetrics": [directive]}}
    return metadata | dict(dimensions) | {name: value for name, (value, _) in values.items()} | dict(ids)
