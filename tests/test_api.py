"""The Python call: what it returns and raises, and that it does nothing behind its caller's back, wherever it is called."""

import json
import os
import pickle
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
import tifffile
from loaded import load_settings
from loguru import logger
from runs import ROOT, digest

import omezarr_proc
from omezarr_proc.config.reading import settings_of
from omezarr_proc.config.settings import Settings, table
from omezarr_proc.engine.local import nursery
from omezarr_proc.model.errors import InputError, LimitError, SettingsError

SMALL: dict[str, Any] = {"tile_size": 64, "initial_downsample": 1, "min_dimension": 64, "max_workers": 1}


@pytest.fixture(autouse=True)
def _as_imported(_log: None) -> None:
    logger.disable("omezarr_proc")


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    for number, name in enumerate(("a.tif", "ba.tif")):
        pixels = np.random.default_rng(number).integers(0, 255, (200, 300), dtype=np.uint8)
        tifffile.imwrite(folder / name, pixels, photometric="minisblack", tile=(64, 64))
    return folder


def script(code: str, *arguments: object, **environ: str) -> str:
    """What a program prints that has `convert`; whatever it or we write on stderr is an error."""
    head = "import sys\nfrom pathlib import Path\nfrom omezarr_proc import convert\nscans, out = map(Path, sys.argv[1:])\n"
    command = [sys.executable, "-W", "error", "-c", head + code, *map(str, arguments)]
    environ = os.environ | {"PYTHONPATH": str(ROOT)} | environ
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environ)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_folder_becomes_the_datasets_that_the_command_makes(scans: Path, tmp_path: Path):
    outcomes = omezarr_proc.convert(scans, tmp_path / "call", **SMALL)
    flags = [word for name, value in SMALL.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    command = [sys.executable, "-m", "omezarr_proc", "--quiet", "--input-dir", scans, "--output-dir", tmp_path / "command", *flags]
    subprocess.run(command, check=True, cwd=ROOT)
    assert digest(tmp_path / "call") == digest(tmp_path / "command") != {}
    assert [(one.status, one.shape, one.levels) for one in outcomes] == [("converted", (1, 200, 300), 4)] * 2
    assert [one.dataset for one in outcomes] == [tmp_path / "call" / name for name in ("a.ome.zarr", "ba.ome.zarr")]
    assert [one.source for one in outcomes] == [str(scans / name) for name in ("a.tif", "ba.tif")]
    again = omezarr_proc.convert(scans, tmp_path / "call", **SMALL)
    assert [(one.status, one.dataset) for one in again] == [("skipped", one.dataset) for one in outcomes]


def test_one_that_fails_stops_no_other_and_raises_its_error_when_asked(scans: Path, tmp_path: Path):
    (scans / "a.tif").write_bytes(b"no TIFF")
    broken, good = omezarr_proc.convert([scans / "a.tif", str(scans / "ba.tif")], tmp_path / "out", **SMALL)
    assert (broken.status, good.status) == ("failed", "converted")
    assert good.dataset.is_dir()
    for one in (broken, pickle.loads(pickle.dumps(broken))):
        with pytest.raises(InputError, match=r"a\.tif: not a TIFF file .*; remove it or rename it$") as caught:
            assert one.dataset
        assert caught.value is one.error and caught.value.source == str(scans / "a.tif")


def test_a_file_that_does_not_fit_is_another_error(scans: Path, tmp_path: Path):
    (one,) = omezarr_proc.convert(scans / "a.tif", tmp_path / "out", max_pixels=10)
    with pytest.raises(LimitError, match="MAX_PIXELS=10"):
        assert one.dataset


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"tile_size": 500}, "tile_size=500 must be a power of two"),
        ({"initial_downsample": True}, "initial_downsample=True must be"),
        ({"preview": 2}, "preview=2 must be one of 0, 1, thumbnail"),
        ({"preview": "yes"}, "preview='yes' must be"),
        ({"images": (0, -1)}, r"images=\(0, -1\) must be"),
        ({"compression": "snappy"}, "compression='snappy' must be .*snappy is in no Blosc"),
        ({"axes": None}, "axes=None must be"),
        ({"tilesize": 64}, "there is no tilesize; there are .*axes, .*tile_size"),
        ({"input_dir": "x"}, "there is no input_dir"),
        ({"session_token": "x"}, "there is no session_token"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, Any], text: str, scans: Path, tmp_path: Path):
    with pytest.raises(SettingsError, match=text):
        omezarr_proc.convert(scans, tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


def test_nothing_to_convert_is_an_error(tmp_path: Path):
    for inputs in ([], tmp_path):
        with pytest.raises(SettingsError):
            omezarr_proc.convert(inputs, tmp_path / "out")


def test_a_call_takes_every_setting_that_is_about_the_work():
    from omezarr_proc.api import Options

    aside = {"input_dir", "output_dir", "log_level", "log_format", "report", "metrics"}
    given = {entry.name for entry in table() if entry.help.startswith("given by the platform")}
    assert set(Options.__annotations__) == {entry.name for entry in table()} - aside - given


def words(hint: Any) -> set[str]:
    """The words among the values of a type."""
    return {hint} if isinstance(hint, str) else {word for part in get_args(hint) for word in words(part)}


def test_the_words_of_a_setting_are_those_of_its_type_its_rule_and_the_call():
    from omezarr_proc.api import Options

    settings, call = get_type_hints(Settings), get_type_hints(Options)
    for entry in table():
        expected = words(settings[entry.name])
        assert words(call.get(entry.name, settings[entry.name])) == expected, entry.name
        if expected and entry.rule.text.startswith("one of "):
            assert set(entry.rule.text.removeprefix("one of ").split(", ")) - {"0", "1"} == expected, entry.name


def test_values_of_python_are_those_of_the_environment():
    values = {"tile_size": 512, "images": [2, 0], "preview": True, "zarr_format": 2, "axes": "czyx", "use_existing_resolutions": False}
    texts = {"TILE_SIZE": "512", "IMAGES": "0,2", "PREVIEW": "1", "ZARR_FORMAT": "2", "AXES": "czyx", "OUTPUT_DIR": "out"}
    assert settings_of(values, output_dir=Path("out")) == load_settings(texts, {}, files_named=True)


def test_progress_grows_to_the_whole_of_each_image(scans: Path, tmp_path: Path):
    told: list[tuple[str, int, int]] = []
    omezarr_proc.convert(scans, tmp_path / "out", progress=lambda *words: told.append(words), **SMALL)
    for name in ("a.tif", "ba.tif"):
        mine = [(done, total) for source, done, total in told if source == str(scans / name)]
        assert mine == sorted(mine)
        assert mine[0][0] == 0
        assert mine[-1][0] == mine[-1][1] > 200 * 300


def test_what_progress_raises_ends_the_call_and_the_next_one_finishes(scans: Path, tmp_path: Path):
    class CancelledError(Exception):
        pass

    def cancel(source: str, done: int, total: int) -> None:
        if done:
            raise CancelledError

    with pytest.raises(CancelledError):
        omezarr_proc.convert(scans, tmp_path / "out", progress=cancel, **SMALL)
    assert not list((tmp_path / "out").glob("[!.]*"))
    assert [one.status for one in omezarr_proc.convert(scans, tmp_path / "out", **SMALL)] == ["converted"] * 2
    assert omezarr_proc.convert(scans, tmp_path / "whole", **SMALL)
    assert digest(tmp_path / "out") == digest(tmp_path / "whole")


def test_nothing_is_done_behind_the_callers_back(scans: Path, tmp_path: Path):
    """Signals, log, environment, collector, threads, processes, open files: as they were; the environment is not read either."""
    (scans / "broken.tif").write_bytes(b"no TIFF")
    code = """
import gc, json, logging, os, signal, threading
def state():
    mask = os.umask(0o22)
    os.umask(mask)
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    loggers = [logging.getLogger(name) for name in (None, "tifffile", "imagecodecs")]
    return {
        "signals": [str(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)],
        "log": [(one.handlers, one.filters, one.propagate, one.level) for one in loggers],
        "environ": dict(os.environ), "frozen": gc.get_freeze_count(), "threads": threading.active_count(),
        "children": children.read_text() if children.exists() else "", "files": len(os.listdir("/proc/self/fd")), "folder": os.getcwd(),
        "umask": mask,
    }
import tifffile, imagecodecs
before = state()
first = convert(scans, out, max_workers=1)
second = convert(scans, out / "again", max_workers=1)
after = state()
print(json.dumps([[str(before), str(after)], [one.status for one in first + second]]))
"""
    # One thread, so that the process could be forked.
    environ = {"OPENBLAS_NUM_THREADS": "1", "INPUT_DIR": "nowhere", "TILE_SIZE": "7"}
    states, statuses = json.loads(script(code, scans, tmp_path / "out", **environ))
    assert states[0] == states[1]
    assert statuses == ["converted", "converted", "failed"] * 2


def test_two_calls_at_once_in_threads(scans: Path, tmp_path: Path):
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(omezarr_proc.convert, scans / name, tmp_path / "out", **SMALL) for name in ("a.tif", "ba.tif")]
        outcomes = [one for call in calls for one in call.result()]
    assert [one.status for one in outcomes] == ["converted"] * 2
    omezarr_proc.convert(scans, tmp_path / "one", **SMALL)
    assert digest(tmp_path / "out") == digest(tmp_path / "one")


def test_in_a_daemonic_process(scans: Path, tmp_path: Path):
    code = """
import multiprocessing
def work(queue):
    queue.put([one.status for one in convert(scans, out, max_workers=1)])
context = multiprocessing.get_context("fork")
queue = context.SimpleQueue()
process = context.Process(target=work, args=[queue], daemon=True)
process.start()
print(queue.get())
process.join()
assert process.exitcode == 0
"""
    assert script(code, scans, tmp_path / "out") == "['converted', 'converted']\n"


def test_in_workers_of_joblib(scans: Path, tmp_path: Path):
    joblib = pytest.importorskip("joblib")
    files = [scans / "a.tif", scans / "ba.tif"]
    calls = joblib.Parallel(2, "loky")(joblib.delayed(omezarr_proc.convert)(file, tmp_path / "out", **SMALL) for file in files)
    assert [one.status for outcomes in calls for one in outcomes] == ["converted"] * 2


def test_in_threads_of_a_dask_worker(scans: Path, tmp_path: Path):
    distributed = pytest.importorskip("distributed")
    files = [scans / "a.tif", scans / "ba.tif"]
    with distributed.Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address=":0") as client:
        calls = client.gather([client.submit(omezarr_proc.convert, file, tmp_path / "out", **SMALL) for file in files])
    assert [one.status for outcomes in calls for one in outcomes] == ["converted"] * 2


def test_where_descriptors_have_no_limit(scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As macOS says it with `ulimit -n unlimited`."""
    endless = "import os; known = os.sysconf; os.sysconf = lambda name: 2**63 - 1 if name == 'SC_OPEN_MAX' else known(name); "
    monkeypatch.setattr(nursery, "_BOOT", endless + nursery._BOOT)
    assert [one.status for one in omezarr_proc.convert(scans / "a.tif", tmp_path / "out", **SMALL)] == ["converted"]


def test_the_log_is_the_callers_to_enable(scans: Path, tmp_path: Path):
    code = """
from loguru import logger
logger.remove()
lines = []
logger.add(lambda line: lines.append(str(line)), format="{message}")
convert(scans, out, max_workers=1)
quiet = len(lines)
logger.enable("omezarr_proc")
convert(scans, out, max_workers=1)
print(quiet, len(lines), "is there already" in lines[0])
"""
    assert script(code, scans, tmp_path / "out") == "0 2 True\n"


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, omezarr_proc; print(sorted({'numpy', 'loguru', 'omezarr_proc.api'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True).stdout == "[]\n"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        assert omezarr_proc.nothing  # type: ignore[attr-defined]


def test_the_example_of_the_readme_runs(scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    section = (ROOT / "README.md").read_text().partition("### From Python\n")[2].partition("\n### ")[0]
    code = "\n".join(line[4:] for line in section.splitlines() if re.match("    |$", line))
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    assert str(tmp_path / "pyramids/a.ome.zarr") + " converted 1\n" in capsys.readouterr().out


@pytest.mark.slow
def test_a_users_script_is_checked_by_its_types(tmp_path: Path):
    pytest.importorskip("mypy", reason="needs the extra dev")
    (tmp_path / "right.py").write_text(
        """
from pathlib import Path
from typing import assert_type
from omezarr_proc import InputError, Outcome, ProcError, convert
from omezarr_proc.model.address import Address

def told(source: str, done: int, total: int) -> None: ...

outcomes = convert(Path("a.tif"), "out", progress=told, tile_size=512, images=(0, 2), preview=True, compression="zstd")
assert_type(outcomes, list[Outcome])
assert_type(outcomes[0].dataset, Path | Address)
assert_type(outcomes[0].error, ProcError | None)
try:
    convert(["a.tif", Path("b.tif")], Path("out"))
except InputError as error:
    assert_type(error.source, str | None)
"""
    )
    (tmp_path / "wrong.py").write_text(
        """
from omezarr_proc import convert
convert("a.tif", "out", tile_size="large")
convert("a.tif", "out", tilesize=64)
convert("a.tif", "out", compression="snappy")
convert("a.tif", "out", progress=lambda source: None)
convert(5, "out")
"""
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports", "silent", "--cache-dir", tmp_path / "cache"]
    command += [tmp_path / "right.py", tmp_path / "wrong.py"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"MYPYPATH": str(ROOT)}, cwd=tmp_path)
    wrong = {line.partition(": error:")[0] for line in done.stdout.splitlines() if ": error:" in line}
    assert {place.rpartition("/")[2] for place in wrong} == {f"wrong.py:{line}" for line in range(3, 8)}, done.stdout + done.stderr


def test_an_output_in_an_object_store_is_never_a_folder_of_that_name(scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match="output_dir='ftp://bucket/x' must be"):
        omezarr_proc.convert(scans, "ftp://bucket/x", **SMALL)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    pytest.importorskip("obstore")
    for outcome in omezarr_proc.convert(scans / "a.tif", "s3://bucket/x", **SMALL):
        assert outcome.status == "failed"
    assert os.listdir(tmp_path) == ["scans"]
