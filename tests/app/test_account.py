"""The account of a run: the report against its schema however the run ends, the metrics against CloudWatch's, the log's events."""

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from jsonschema import Draft202012Validator
from runs import EAGER_COMMAND, ROOT, Program, files_in, stack

from omezarr_proc import cli
from omezarr_proc.app.account import Account, accounted
from omezarr_proc.app.metrics import metric_lines
from omezarr_proc.app.report import Report
from omezarr_proc.app.results import Results, totals
from omezarr_proc.config.settings import Settings, table
from omezarr_proc.host.files import write_whole
from omezarr_proc.model.errors import Exit, InputError, OutputError
from omezarr_proc.model.events import Begun, Summary

SCHEMA = json.loads((ROOT / "docs/report.schema.json").read_text())
TOKEN = "s3cr3t-token"
# After the schema of CloudWatch's "Specification: Embedded metric format"; what that says in words is in `check_emf`. The older, narrower
# bounds of dimensions are taken.
UNITS = ["Seconds", "Milliseconds", "Bytes", "Percent", "Count", "None"]
EMF = {
    "type": "object",
    "required": ["_aws"],
    "properties": {
        "_aws": {
            "type": "object",
            "required": ["Timestamp", "CloudWatchMetrics"],
            "additionalProperties": False,
            "properties": {
                "Timestamp": {"type": "integer"},
                "CloudWatchMetrics": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["Namespace", "Dimensions", "Metrics"],
                        "additionalProperties": False,
                        "properties": {
                            "Namespace": {"type": "string", "minLength": 1, "maxLength": 1024},
                            "Dimensions": {
                                "type": "array",
                                "minItems": 1,
                                "items": {"type": "array", "minItems": 1, "maxItems": 9, "items": {"type": "string", "minLength": 1}},
                            },
                            "Metrics": {
                                "type": "array",
                                "maxItems": 100,
                                "items": {
                                    "type": "object",
                                    "required": ["Name"],
                                    "properties": {"Name": {"type": "string", "minLength": 1}, "Unit": {"enum": UNITS}},
                                },
                            },
                        },
                    },
                },
            },
        }
    },
}


def valid(report: Path) -> dict:
    """The report, which keeps to its schema and holds no token."""
    text = report.read_text()
    assert TOKEN not in text
    document = json.loads(text)
    Draft202012Validator(SCHEMA).validate(document)
    return document


def check_emf(line: dict) -> None:
    Draft202012Validator(EMF).validate(line)
    directive = line["_aws"]["CloudWatchMetrics"][0]
    assert all(isinstance(line[name], str) and line[name] for dimensions in directive["Dimensions"] for name in dimensions)
    assert all(isinstance(line[metric["Name"]], int | float) for metric in directive["Metrics"])


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    for entry in table():
        monkeypatch.delenv(entry.variable, raising=False)
    monkeypatch.setenv("SESSION_TOKEN", TOKEN)
    for name in ("WORKFLOW_INSTANCE_ID", "EXECUTION_RUN_ID", "COMPUTE_NODE_ID", "INTEGRATION_ID"):
        monkeypatch.setenv(name, f"{name}-7")
    revision = tmp_path_factory.mktemp("image") / "REVISION"
    revision.write_text("c0ffee")
    monkeypatch.setattr("omezarr_proc.REVISION_FILE", str(revision))


def test_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert set(SCHEMA["$defs"]["image"]["required"]) == set(SCHEMA["$defs"]["image"]["properties"])


@pytest.mark.parametrize("zarr_format", ["3", "2"])
def test_a_run_is_told_of_in_log_metrics_and_report(tmp_path: Path, capsys: pytest.CaptureFixture[str], zarr_format: str) -> None:
    folder, report = tmp_path / "in", tmp_path / "report.json"
    folder.mkdir()
    pixels = np.random.default_rng(1).integers(0, 255, (3, 700, 500), dtype=np.uint8)
    tifffile.imwrite(folder / f"a{TOKEN}.ome.tif", pixels, photometric="minisblack", tile=(64, 64), metadata={"axes": "ZYX"})
    (folder / "b.tif").write_bytes(b"no TIFF")
    flags = ["--log-format", "json", "--metrics", "emf", "--report", str(report), "--zarr-format", zarr_format]
    assert cli.main(["--input-dir", str(folder), "--output-dir", str(tmp_path / "out"), *flags]) == 1
    text = capsys.readouterr().err
    assert TOKEN not in text
    lines = [json.loads(line) for line in text.splitlines()]
    metrics = [line for line in lines if "_aws" in line]
    events = [line for line in lines if "_aws" not in line]
    names = [line["event"] for line in events]
    assert names[0] == "start" and names[-1] == "end" and {"image-begun", "image-done", "image-failed", "downsampled"} <= set(names)
    ids = {"workflowInstanceId", "executionRunId", "computeNodeId", "integrationId"}
    assert all(ids <= line.keys() for line in lines)
    for line in metrics:
        check_emf(line)
    assert [line.get("Code") for line in metrics] == [None, None, "corrupt-input"]

    document = valid(report)
    assert (document["outcome"], document["status"], document["code"]) == ("finished", 1, "corrupt-input")
    assert (document["program"]["commit"], set(document["run"])) == ("c0ffee", ids)
    done, failed = document["images"]
    dataset = next((tmp_path / "out").glob("*.zarr"))
    assert done["objects"] == len([path for path in dataset.rglob("*") if path.is_file()])
    assert (done["outcome"], done["shape"], failed["outcome"], failed["code"]) == ("converted", [1, 3, 350, 250], "failed", "corrupt-input")
    assert set(done["phases"]) == {"open", "resume", "levels", "windows", "publish"}
    assert events[-1] | document["totals"] == events[-1]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--tile-size", "3"], "wrong-settings"),
        (["--no-such-flag"], "wrong-settings"),
        (["--input-dir", "nowhere"], "missing-folder"),
        (["--input-dir", "."], "nothing-to-convert"),
        (["--input-dir", ".", "--report", "no/such/folder/report.json"], "missing-folder"),
    ],
)
def test_a_run_that_cannot_begin(tmp_path: Path, words: list[str], code: str, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOG_FORMAT", "json")
    monkeypatch.setenv("REPORT", "report.json")
    monkeypatch.setenv("OUTPUT_DIR", "out")
    assert cli.main(words) == 2
    start, error, end = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (start["event"], error["event"], error["code"], end["event"], end["code"]) == ("start", "error", code, "end", code)
    if "--report" not in words:
        assert valid(tmp_path / "report.json")["code"] == code


def test_a_run_that_is_stopped(tmp_path: Path) -> None:
    source, report, out = stack(tmp_path / "stack.ome.tif", planes=60), tmp_path / "report.json", tmp_path / "out"
    flags = ["--report", report, "--log-format", "json", "--max-workers", "2", "--tile-size", "64"]
    with Program([source, "--output-dir", out, *flags], EAGER_COMMAND) as program:
        assert program.wait_for(lambda: files_in(out) > 10)
        assert valid(report)["outcome"] == "running"
        program.process.terminate()
        status, text = program.finish()
    assert status == 143
    assert [json.loads(line)["event"] for line in text.splitlines()][-2:] == ["error", "end"]
    document = valid(report)
    assert (document["outcome"], document["code"], document["images"][0]["outcome"]) == ("stopped", "terminated", "stopped")
    assert document["images"][0]["peakMemory"] > 10 << 20


def test_a_report_is_whole_or_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    write_whole(tmp_path / "r.json", b"before")
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="full"):
        write_whole(tmp_path / "r.json", b"after")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"r.json": b"before"}


def test_seconds_go_to_the_phase_they_are_spent_in_and_retries_are_counted() -> None:
    now = [0.0]
    results = Results(lambda: now[0])
    begun = Begun(source="a.tif", series=0, target="a.ome.zarr", shape=(1, 8, 8), levels=1, objects=3)
    for phase, seconds in (("open", 1.0), ("levels", 5.0), ("resume", 2.0), ("levels", 7.0)):
        results.phase(phase)  # type: ignore[arg-type]
        results.begin(begun)
        now[0] += seconds
    results.retry()
    results.peak(1000)
    summary = Summary(name="a.ome.zarr", shape=(1, 8, 8), levels=1, chunks=1, stored_bytes=64, seconds=9.0, pixels=256, peak_bytes=1000)
    done = results.end("converted", "a.tif", "a.ome.zarr", summary=summary)
    assert done.phases == {"open": 1.0, "levels": 12.0, "resume": 2.0}
    assert done.retries == 1
    now[0] += 3
    results.peak(2000)
    failed = results.end("failed", "b.tif", error=InputError("bad", source="b.tif"))
    assert (failed.phases, failed.row()["peakMemory"]) == ({"open": 3.0}, 2000)
    assert results.end("skipped", "c.tif").row()["peakMemory"] is None
    sums = totals(results.done)
    assert (sums["converted"], sums["failed"], sums["codes"], sums["peakMemory"]) == (1, 1, {"corrupt-input": 1}, 2000)


def test_metric_lines_of_a_run_with_nothing_in_it() -> None:
    for sums in (None, totals([])):
        for line in metric_lines(sums, 1.5, 1_700_000_000_000, "", {"requestId": "r"}):
            check_emf(line)
            assert line["Environment"] == "none"
            assert line["requestId"] == "r"


def test_a_mistake_of_ours_ends_the_account_too(tmp_path: Path) -> None:
    account = Account(Settings(output_dir=tmp_path, report=tmp_path / "r.json"), Report(), {})
    with pytest.raises(ZeroDivisionError), accounted(account):
        raise ZeroDivisionError
    document = json.loads((tmp_path / "r.json").read_text())
    assert (document["outcome"], document["status"], document["code"]) == ("failed", 1, "unexpected")


def test_a_run_that_fails_as_its_images_did_is_one_failure_more() -> None:
    written: list[str] = []
    report = Report()
    report.write = written.append  # type: ignore[method-assign]
    for number in range(3):
        report.results.end("failed", f"{number}.tif", error=OutputError("full", source="out"))
    Account(Settings(metrics="emf"), report, {}).end("failed", Exit.CANNOT_WRITE, "cannot-write", "full")
    assert [line["Failures"] for line in map(json.loads, written) if line.get("Code") == "cannot-write"] == [4]
