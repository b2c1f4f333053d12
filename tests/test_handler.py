"""The Lambda handler: payload to settings, results, failures, and that nothing is left behind."""

import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from loaded import load_settings
from loguru import logger
from runs import ROOT

from omezarr_proc import app
from omezarr_proc import handler as module
from omezarr_proc.app.results import Result
from omezarr_proc.config.settings import table
from omezarr_proc.handler import handler, overrides_of
from omezarr_proc.model.errors import InputError, SettingsError
from omezarr_proc.model.events import Summary
from omezarr_proc.model.part import Part

TOKEN = "s3cr3t-token"


@pytest.fixture(autouse=True)
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    for entry in table():
        monkeypatch.delenv(entry.variable, raising=False)
    fake = SimpleNamespace(errors={}, skip=set())

    def run(settings, inputs, report, *, deadline=None):
        fake.settings, fake.deadline = settings, deadline
        logger.info(f"working with {settings.session_token.reveal()}")
        for entry in inputs:
            if entry.path.name in fake.skip:
                report.skip(str(entry.path), "is there already")
            elif text := fake.errors.get(entry.path.name):
                report.fail(str(entry.path), InputError(text, source=entry.path.name))
            else:
                report.finish(
                    Summary(
                        name=f"{entry.path.stem}.ome.zarr",
                        shape=(1, 8, 8),
                        levels=1,
                        chunks=4,
                        stored_bytes=64,
                        seconds=0.1234567,
                        pixels=64,
                    )
                )

    fake.run = run
    monkeypatch.setitem(sys.modules, "omezarr_proc.app.batch", fake)
    monkeypatch.setattr(app, "batch", fake, raising=False)
    yield fake


@pytest.fixture
def event(tmp_path: Path) -> dict[str, object]:
    (tmp_path / "in").mkdir()
    for name in ("a.tif", "b.tif", "c.tif"):
        (tmp_path / "in" / name).write_bytes(b"II*\0")
    return {
        "inputDir": str(tmp_path / "in"),
        "outputDir": str(tmp_path / "out"),
        "workflowInstanceId": "w-17",
        "sessionToken": TOKEN,
        "refreshToken": f"{TOKEN}-2",
    }


def test_payload_and_environment_become_settings(event, engine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TILE_SIZE", "128")
    monkeypatch.setenv("COMPRESSION", "lz4")
    monkeypatch.setenv("SESSION_TOKEN", "of the function")
    environ = dict(os.environ)
    handler(event | {"TILE_SIZE": 512, "USE_EXISTING_RESOLUTIONS": True, "AXES": "czyx", "MIN_DIMENSION": None}, None)
    settings = engine.settings
    assert (settings.tile_size, settings.compression, settings.axes, settings.use_existing_resolutions) == (512, "lz4", "czyx", True)
    assert (settings.workflow_instance_id, settings.session_token.reveal(), settings.min_dimension) == ("w-17", TOKEN, 256)
    assert dict(os.environ) == environ


def test_result_is_small_and_json(event, engine):
    engine.skip = {"b.tif"}
    result = handler(event, None)
    assert json.loads(json.dumps(result)) == result
    assert (result["status"], result["workflowInstanceId"], len(result["images"])) == ("success", "w-17", 3)
    assert {"dataset": "a.ome.zarr", "outcome": "converted", "bytes": 64}.items() <= result["images"][0].items()
    assert (result["images"][1]["outcome"], result["images"][1]["message"]) == ("skipped", "is there already")
    assert (result["totals"]["converted"], result["totals"]["skipped"]) == (2, 1)
    assert TOKEN not in json.dumps(result)


def test_result_of_many_images_stays_below_what_lambda_takes(event, monkeypatch: pytest.MonkeyPatch):
    results = [Result(source="é" * 200, outcome="skipped", reason="is there already")] * 9000
    result = module.result_of(load_settings({"INPUT_DIR": "in", "OUTPUT_DIR": "out", "REPORT": "r.json"}, {}), results)
    assert (len(result["images"]) + result["moreImages"], result["totals"]["skipped"], result["report"]) == (9000, 9000, "r.json")
    assert 150_000 < len(json.dumps(result)) < 200 << 10


def test_failure_raises_and_names_the_files_without_tokens(event, engine):
    engine.errors = {"a.tif": f"is broken near {TOKEN}-2", "c.tif": "is empty"}
    with pytest.raises(InputError) as caught:
        handler(event, None)
    assert "2 of 3 inputs failed" in str(caught.value)
    assert "a.tif: is broken near ***" in str(caught.value)
    assert "c.tif: is empty" in str(caught.value)
    assert TOKEN not in str(caught.value)


def test_many_failures_are_counted():
    text = str(module.failure([InputError("bad", source=f"{number}.tif") for number in range(100)], 200))
    assert text.startswith("100 of 200 inputs failed: 0.tif: bad; ")
    assert text.endswith("; and 80 more")


@pytest.mark.parametrize("bad", [None, [], "text", 5])
def test_an_event_that_is_no_object_is_refused(bad: object):
    with pytest.raises(SettingsError, match="must be an object"):
        handler(bad, None)  # type: ignore[arg-type]


def test_wrong_settings_raise_one_message_without_tokens(event):
    with pytest.raises(SettingsError) as caught:
        handler(event | {"TILE_SIZE": 300, "AXES": TOKEN, "inputDir": None}, None)
    assert all(part in str(caught.value) for part in ("TILE_SIZE='300'", "AXES=", "INPUT_DIR"))
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("value", [{"a": 1}, ["x"]])
def test_a_setting_that_is_no_text_is_refused_without_its_value(event, value: object):
    with pytest.raises(SettingsError, match="outputDir must be text or a number"):
        handler(event | {"outputDir": value}, None)


def test_a_token_in_a_path_comes_out_in_no_message_and_no_result(event, tmp_path: Path):
    with pytest.raises(SettingsError, match=r"INPUT_DIR .*/\*\*\* does not exist"):
        handler(event | {"inputDir": str(tmp_path / TOKEN)}, None)
    result = handler(event | {"outputDir": str(tmp_path / TOKEN)}, None)
    assert TOKEN not in json.dumps(result)


def test_missing_input_raises(event, tmp_path: Path):
    with pytest.raises(SettingsError, match="does not exist"):
        handler(event | {"inputDir": str(tmp_path / "gone")}, None)


def test_unknown_keys_are_ignored_and_counted_in_the_debug_log_only(event, capsys: pytest.CaptureFixture[str]):
    handler(event | {"LOG_LEVEL": "DEBUG", "tile_size": 3, "apiKey": "hidden-value"}, None)
    text = capsys.readouterr().err
    assert "2 keys of the event are no settings" in text
    assert "hidden-value" not in text
    assert TOKEN not in text
    assert "working with ***" in text


def test_a_key_that_is_nearly_a_setting_is_asked_about(event, capsys: pytest.CaptureFixture[str]):
    handler(event | {"tileSize": 512, "TYLE_SIZE": "hidden-value", "apiKey": "x"}, None)
    text = capsys.readouterr().err
    assert "tileSize is set, and is no setting: is TILE_SIZE meant?" in text
    assert "TYLE_SIZE is set, and is no setting: is TILE_SIZE meant?" in text
    assert "hidden-value" not in text and "apiKey" not in text


def test_json_logs_are_json(event, capsys: pytest.CaptureFixture[str]):
    handler(event | {"LOG_FORMAT": "json"}, None)
    assert all(json.loads(line)["level"] == "INFO" for line in capsys.readouterr().err.splitlines())


def test_nothing_of_an_invocation_is_left_for_the_next(event, engine, capsys: pytest.CaptureFixture[str]):
    handler(event, None)
    engine.errors = {"a.tif": "bad"}
    with pytest.raises(InputError):
        handler({key: event[key] for key in ("inputDir", "outputDir")}, None)
    assert not engine.settings.session_token
    assert engine.settings.workflow_instance_id == ""
    capsys.readouterr()
    logger.error("after the invocation")
    assert capsys.readouterr().err == ""


def test_deadline_is_when_the_context_says(event, engine):
    handler(event, SimpleNamespace(get_remaining_time_in_millis=lambda: 42_000))
    assert engine.deadline == pytest.approx(time.monotonic() + 42, abs=1)
    handler(event, None)
    assert engine.deadline is None


def test_overrides_by_both_spellings():
    assert overrides_of({"inputDir": "a", "TILE_SIZE": 64, "IMAGES": "0,2", "x": 1}) == (
        {"INPUT_DIR": "a", "TILE_SIZE": "64", "IMAGES": "0,2"},
        ["x"],
    )


def test_an_event_imports_nothing_that_the_start_of_the_function_could_have(tmp_path: Path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((80, 80), np.uint8))
    code = """
import os, sys
import omezarr_proc.handler
before = set(sys.modules)
omezarr_proc.handler.handler({"inputDir": sys.argv[1], "outputDir": sys.argv[1] + "/out"})
print(sorted(name for name in set(sys.modules) - before if name.startswith(("omezarr_proc.", "numpy.", "tifffile"))))
"""
    environ = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, cwd=ROOT, env=environ, check=True)
    assert run.stdout == "[]\n"


def test_the_runtime_finds_no_frames_behind_an_error_but_at_debug(event, engine, monkeypatch: pytest.MonkeyPatch):
    """What awslambdaric does with what a handler raises: `traceback.extract_tb`, then a line for each frame."""
    monkeypatch.setenv("AWS_LAMBDA_RUNTIME_API", "here")
    engine.errors = {"a.tif": "is broken"}
    frames = {}
    try:
        for level in ("INFO", "DEBUG"):
            with pytest.raises(InputError) as caught:
                handler(event | {"LOG_LEVEL": level}, None)
            frames[level] = len(traceback.extract_tb(caught.value.__traceback__))
    finally:
        vars(sys).pop("tracebacklimit", None)
    assert frames["INFO"] == 0
    assert frames["DEBUG"] > 1


def test_every_json_line_says_whose_run_it_is(event, capsys: pytest.CaptureFixture[str]):
    ids = {"executionRunId": "r", "computeNodeId": "n", "integrationId": "i"}
    handler(event | ids | {"LOG_FORMAT": "json"}, SimpleNamespace(aws_request_id="q"))
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert all((ids | {"workflowInstanceId": "w-17", "requestId": "q"}).items() <= line.items() for line in lines)
    assert lines[-1]["event"] == "end"


def test_a_part_is_a_key_of_the_event(event: dict[str, object], engine: SimpleNamespace) -> None:
    handler(event | {"PART": "2/3"})
    assert engine.settings.part == Part(2, 3)
    with pytest.raises(SettingsError, match="parts are counted from 1"):
        handler(event | {"PART": "0/3"})
