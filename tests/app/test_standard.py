"""stderr and stdout that cannot be written: what is converted and the exit status stay the same."""

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from loaded import load_settings
from loguru import logger
from runs import ROOT, digest

from omezarr_proc.app import log
from omezarr_proc.app.progress import BarReport, LineReport
from omezarr_proc.app.report import Report
from omezarr_proc.app.standard import Lossy, say
from omezarr_proc.model.errors import InputError
from omezarr_proc.model.events import Summary

SETTINGS = load_settings({"INPUT_DIR": "in", "OUTPUT_DIR": "out", "LOG_LEVEL": "DEBUG"}, {})
needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two small images and a file that is none."""
    folder = tmp_path_factory.mktemp("scans")
    for name in ("a.tif", "b.tif"):
        tifffile.imwrite(folder / name, np.arange(90 * 70, dtype=np.uint16).reshape(90, 70))
    (folder / "c.tif").write_bytes(b"no TIFF")
    return folder


@pytest.fixture(scope="module")
def expected(scans: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    out = tmp_path_factory.mktemp("out")
    assert shell(scans, out, "") == 1
    found = digest(out)
    assert {name.partition("/")[0] for name in found} == {"a.ome.zarr", "b.ome.zarr"}
    return found


def shell(scans: Path, out: Path, redirections: str, flags: str = "") -> int:
    """The exit status, with stdin, stdout and stderr as a shell redirects them."""
    line = f'"$0" -m omezarr_proc --input-dir "$1" --output-dir "$2" {flags} {redirections}'
    return subprocess.run(["/bin/sh", "-c", line, sys.executable, scans, out], cwd=ROOT, capture_output=True, timeout=60).returncode


@needs_full
@pytest.mark.parametrize(
    ("redirections", "flags"),
    [
        ("2>/dev/full", ""),
        ("2>/dev/full", "--log-format json --log-level DEBUG"),
        ("2>&-", ""),
        (">&-", ""),
        (">/dev/full", ""),
        ("0<&- >&- 2>&-", ""),
    ],
)
def test_a_log_that_cannot_be_written_changes_nothing(scans: Path, expected, tmp_path: Path, redirections: str, flags: str):
    assert shell(scans, tmp_path / "out", redirections, flags) == 1
    assert digest(tmp_path / "out") == expected


@pytest.mark.parametrize("flags", [(), ("--log-format", "json")])
def test_a_log_whose_reader_is_gone_changes_nothing(scans: Path, expected, tmp_path: Path, flags: tuple[str, ...]):
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "omezarr_proc", "--input-dir", scans, "--output-dir", tmp_path / "out", *flags]
    done = subprocess.run(command, cwd=ROOT, stdout=writing, stderr=writing, check=False, timeout=60)
    os.close(writing)
    assert done.returncode == 1
    assert digest(tmp_path / "out") == expected


def test_a_terminal_that_is_closed_changes_nothing(scans: Path, expected, tmp_path: Path):
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "omezarr_proc", "--input-dir", scans, "--output-dir", tmp_path / "out"]
    with subprocess.Popen(command, cwd=ROOT, stdout=theirs, stderr=theirs, stdin=subprocess.DEVNULL) as program:
        os.close(theirs)
        os.close(ours)
        assert program.wait(60) == 1
    assert digest(tmp_path / "out") == expected


@needs_full
@pytest.mark.parametrize("redirections", ["2>/dev/full", "2>&-"])
def test_wrong_settings_stay_wrong_settings(scans: Path, tmp_path: Path, redirections: str):
    assert shell(scans, tmp_path / "out", redirections, "--tile-size 3") == 2
    assert shell(scans, tmp_path / "out", redirections, "--no-such-flag") == 2


@needs_full
def test_a_result_that_cannot_be_written_is_an_error_in_one_line(scans: Path, tmp_path: Path):
    for words in (["--dry-run", scans / "a.tif", "--output-dir", tmp_path], ["info", scans / "a.tif"]):
        with open("/dev/full", "w") as full:
            command = [sys.executable, "-m", "omezarr_proc", *words]
            done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        assert (done.returncode, done.stderr) == (73, "omezarr-proc: the result cannot be written to stdout: No space left on device\n")


class Broken(io.StringIO):
    """A terminal that has gone, in the way that `error` says."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def isatty(self) -> bool:
        raise self.error

    def write(self, text: str) -> int:
        raise self.error

    def flush(self) -> None:
        raise self.error


ERRORS = [
    OSError(5, "Input/output error"),
    OSError(28, "No space left on device"),
    BrokenPipeError(32, "Broken pipe"),
    ValueError("closed"),
]


@pytest.mark.parametrize("error", [*ERRORS, None], ids=repr)
@pytest.mark.parametrize("make", [Report, LineReport, BarReport])
def test_no_report_fails_with_its_stream(error: Exception | None, make: type[Report], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stderr", Broken(error) if error else None)
    report = make()
    log.configure(SETTINGS, report.write)
    try:
        report.start("a.tif", 100)
        report.advance(50)
        logger.warning("something to know")
        report.advance(50)
        report.finish(Summary(name="a.ome.zarr", shape=(1, 8, 8), levels=1, chunks=1, stored_bytes=64, seconds=0.1, pixels=64))
        report.fail("b.tif", InputError("is broken", source="b.tif"))
        report.write("".join(report.table()))
        report.end()
        assert not Lossy().isatty()
    finally:
        log.close()
    assert [str(error) for error in report.failures] == ["b.tif: is broken"]


def test_what_is_said_is_on_stderr(capsys: pytest.CaptureFixture[str]):
    say("a line\n")
    assert capsys.readouterr().err == "a line\n"
    assert Lossy(sys.stderr).encoding == sys.stderr.encoding
