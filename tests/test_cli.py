"""The command line: flags, messages, exit statuses, signals; the engine is a fake."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from omezarr_proc import __version__, app, cli
from omezarr_proc.app import flags, log
from omezarr_proc.app.stop import Terminated
from omezarr_proc.config.settings import table
from omezarr_proc.model.errors import InputError, LimitError, SettingsError
from omezarr_proc.model.events import Summary

ROOT = Path(__file__).parents[1]
SANDBOX = ROOT.parent / "shared/tools/runtime/in_cgroup.sh"
TOKEN = "s3cr3t-token"


class Engine(SimpleNamespace):
    """Stands for `process`: records what it is asked to do; `errors` by file name make inputs fail."""

    def __init__(self) -> None:
        super().__init__(calls=[], errors={}, action=lambda: None)

    def run(self, settings, inputs, report, *, deadline=None):
        self.calls.append((settings, inputs, deadline))
        self.action()
        results = []
        for entry in inputs:
            text = self.errors.get(entry.path.name)
            error = text and InputError(text, source=entry.path)
            if error:
                report.fail(str(entry.path), error)
            else:
                report.start(str(entry.path), 100)
                report.finish(
                    Summary(
                        name=f"{entry.path.stem}.ome.zarr", shape=(1, 8, 8), levels=1, chunks=1, stored_bytes=64, seconds=0.1, pixels=64
                    )
                )
            results.append(SimpleNamespace(source=str(entry.path), error=error))
        return results

    def dry_run(self, settings, inputs):
        return [(f"plan of {entry.relative}", entry.path.name in self.errors) for entry in inputs]


@pytest.fixture(autouse=True)
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    for entry in table():
        monkeypatch.delenv(entry.variable, raising=False)
    fake = Engine()
    monkeypatch.setitem(sys.modules, "omezarr_proc.app.batch", fake)
    monkeypatch.setitem(sys.modules, "omezarr_proc.app.plan", fake)
    monkeypatch.setattr(app, "batch", fake, raising=False)
    monkeypatch.setattr(app, "plan", fake, raising=False)
    yield fake
    log.close()


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.tif").write_bytes(b"II*\0")
    (tmp_path / "in/b.ome.tif").write_bytes(b"II*\0")
    return tmp_path / "in", tmp_path / "out"


def arguments(folders: tuple[Path, Path], *more: str) -> list[str]:
    return ["--input-dir", str(folders[0]), "--output-dir", str(folders[1]), *more]


def test_all_converted_is_0_with_a_summary(folders, engine: Engine, capsys: pytest.CaptureFixture[str]):
    assert cli.main(arguments(folders)) == 0
    settings, inputs, deadline = engine.calls[0]
    assert [entry.relative.name for entry in inputs] == ["a.tif", "b.ome.tif"]
    assert (settings.output_dir, deadline) == (folders[1], None)
    output = capsys.readouterr()
    assert output.out == ""
    assert [line.split()[0] for line in output.err.splitlines()[-3:]] == ["image", "a.ome.zarr", "b.ome.ome.zarr"]


def test_one_failed_is_1_and_the_others_are_converted(folders, engine: Engine, capsys: pytest.CaptureFixture[str]):
    engine.errors["a.tif"] = "is broken"
    assert cli.main(arguments(folders)) == 1
    text = capsys.readouterr().err
    assert text.count("is broken") == 2  # at its place and in the summary
    assert "b.ome.ome.zarr: done" in text


def test_no_token_in_log_or_summary(folders, engine: Engine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SESSION_TOKEN", TOKEN)
    engine.errors["a.tif"] = f"is broken near {TOKEN}"
    assert cli.main(arguments(folders)) == 1
    text = capsys.readouterr().err
    assert text.count("is broken near ***") == 2
    assert TOKEN not in text
    assert "SESSION_TOKEN" not in os.environ


@pytest.mark.parametrize("flags", [(), ("--dry-run",)])
def test_no_token_that_is_part_of_a_path_in_any_message(folders, capsys, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...]):
    def run(input_dir: Path, output_dir: Path) -> tuple[int, bool]:
        monkeypatch.setenv("REFRESH_TOKEN", TOKEN)
        status = cli.main(arguments((input_dir, output_dir), *flags))
        output = capsys.readouterr()
        assert TOKEN not in output.out + output.err
        return status, "***" in output.out + output.err

    named = folders[0] / TOKEN
    assert run(named, folders[1]) == (2, True)
    assert run(folders[0], folders[0] / "a.tif" / TOKEN) == (2, True)
    named.mkdir()
    assert run(named, folders[1]) == (2, True)
    (named / f"{TOKEN}.tif").write_bytes(b"II*\0")
    assert run(named, folders[1]) == (0, True)


@pytest.mark.parametrize("words", [["--session-token", TOKEN], [f"--refresh-token={TOKEN}"]])
def test_tokens_have_no_flag_and_the_message_says_what_to_do(words: list[str], engine: Engine, capsys: pytest.CaptureFixture[str]):
    assert cli.main(words) == 2
    text = capsys.readouterr().err
    flag = words[0].partition("=")[0]
    variable = flag[2:].upper().replace("-", "_")
    assert (
        text == f"omezarr-proc: there is no flag {flag}, since `ps` would show the token: set {variable} in the environment; see --help\n"
    )
    assert not engine.calls


def test_environment_and_flags_and_flags_win(folders, engine: Engine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TILE_SIZE", "128")
    monkeypatch.setenv("MIN_DIMENSION", "99")
    monkeypatch.setenv("INPUT_DIR", str(folders[0]))
    assert cli.main(["--output-dir", str(folders[1]), "--tile-size=512"]) == 0
    settings = engine.calls[0][0]
    assert (settings.tile_size, settings.min_dimension, settings.input_dir) == (512, 99, folders[0])


def test_every_setting_has_a_flag_that_says_what_the_help_says():
    parser = flags.make_parser()
    rows = [entry for entry in table() if not entry.environment_only]
    given = [f"{e.flag}=value of {e.name}" if e.rule.switch else (e.flag, f"value of {e.name}") for e in rows]
    arguments = flags.parse([word for words in given for word in ([words] if isinstance(words, str) else words)])
    assert all(getattr(arguments, entry.name) == f"value of {entry.name}" for entry in rows)
    text = " ".join(parser.format_help().split())
    for entry in rows:
        assert f"{entry.flag} {'[VALUE]' if entry.rule.switch else 'VALUE'}" in text
        assert " ".join(entry.help.split()) in text or "-" in entry.help  # argparse breaks lines at dashes


def test_wrong_settings_are_2_in_one_line_before_any_work(engine: Engine, capsys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("SESSION_TOKEN", TOKEN)
    assert cli.main(["--tile-size", "300", "--axes", TOKEN, "--output-dir", str(tmp_path / "out")]) == 2
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert all(part in text for part in ("--input-dir", "--tile-size='300'", "--axes='***'"))
    assert TOKEN not in text
    assert not engine.calls
    assert not (tmp_path / "out").exists()


def test_nothing_to_convert_is_2(tmp_path: Path, engine: Engine, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "in").mkdir()
    assert cli.main(arguments((tmp_path / "in", tmp_path / "out"))) == 2
    assert capsys.readouterr().err.startswith("omezarr-proc: no TIFF")
    assert not engine.calls


@pytest.mark.parametrize(
    "words",
    [["--sesion-token", TOKEN], [f"--sesion-token={TOKEN}"], [f"--quiet={TOKEN}"], ["--tile", "256"], ["--tile-size"], ["-x.tif"]],
    ids=["unknown", "unknown with =", "takes none", "abbreviated", "no value", "file with a dash"],
)
def test_a_wrong_flag_is_2_in_one_line_without_its_value(words: list[str], engine: Engine, capsys: pytest.CaptureFixture[str]):
    assert cli.main(words) == 2
    text = capsys.readouterr().err
    assert words[0].partition("=")[0] in text
    assert text.count("\n") == 1
    assert TOKEN not in text
    assert not engine.calls


def test_named_files_need_no_input_dir_and_stand_anywhere(folders, engine: Engine):
    first, second = str(folders[0] / "a.tif"), str(folders[0] / "b.ome.tif")
    assert cli.main([second, "--output-dir", str(folders[1]), first]) == 0
    assert [str(entry.path) for entry in engine.calls[0][1]] == [second, first]


def test_after_two_dashes_everything_is_a_file(folders, engine: Engine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(folders[0])
    assert cli.main(["--output-dir", str(folders[1]), "a.tif", "--", "--dry-run", "-x.tif"]) == 0
    assert [str(entry.path) for entry in engine.calls[0][1]] == ["a.tif", "--dry-run", "-x.tif"]


def test_dry_run_prints_the_plan_and_writes_nothing(folders, engine: Engine, capsys: pytest.CaptureFixture[str]):
    assert cli.main(arguments(folders, "--dry-run")) == 0
    assert capsys.readouterr().out == "plan of a.tif\nplan of b.ome.tif\n"
    assert not engine.calls
    assert not folders[1].exists()
    engine.errors["b.ome.tif"] = "cannot be planned"
    assert cli.main(arguments(folders, "--dry-run")) == 1


def test_dry_run_prints_odd_names_on_one_line(folders, capfd: pytest.CaptureFixture[str]):
    (folders[0] / os.fsdecode(b"line\nbreak\xff.tif")).write_bytes(b"II*\0")
    assert cli.main(arguments(folders, "--dry-run")) == 0
    assert capfd.readouterr().out.splitlines()[-1] == r"plan of line\nbreak\udcff.tif"


def test_quiet_shows_errors_only(folders, engine: Engine, capsys: pytest.CaptureFixture[str]):
    assert cli.main(arguments(folders, "--quiet")) == 0
    assert capsys.readouterr().err == ""
    engine.errors["a.tif"] = "is broken"
    assert cli.main(arguments(folders, "--quiet")) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(("stopped", "code", "status"), [(Terminated(143), "terminated", 143), (KeyboardInterrupt(), "interrupted", 130)])
def test_a_signal_while_the_log_is_loaded_is_a_line_of_json_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stopped: BaseException, code: str, status: int
) -> None:
    def work(*_: object) -> None:
        raise stopped

    monkeypatch.setattr(cli, "work", work)
    monkeypatch.setenv("LOG_FORMAT", "json")
    monkeypatch.setenv("WORKFLOW_INSTANCE_ID", "a-flow")
    assert cli.main(["a.tif", "--output-dir", "out"]) == status
    (line,) = capsys.readouterr().err.splitlines()
    said = json.loads(line)
    assert [said[name] for name in ("event", "code", "status", "workflowInstanceId")] == ["error", code, status, "a-flow"]


def test_json_logs_are_json_to_the_last_line(folders, capsys: pytest.CaptureFixture[str]):
    import json

    assert cli.main(arguments(folders, "--log-format", "json")) == 0
    entries = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [entry["event"] for entry in entries] == ["start", "image-done", "image-done", "end"]
    assert {entry["image"] for entry in entries[1:3]} == {"a.ome.zarr", "b.ome.ome.zarr"}
    assert (entries[0]["version"], entries[0]["settings"]["TILE_SIZE"]) == (__version__, "256")
    assert {"status": 0, "converted": 2, "failed": 0, "bytes": 128}.items() <= entries[-1].items()


GOES_ON = "; what is finished is kept: the same command goes on from there"


def raiser(error: BaseException) -> Callable[[], None]:
    def action() -> None:
        raise error

    return action


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (KeyboardInterrupt(), 130, f"omezarr-proc: interrupted{GOES_ON}\n"),
        (LimitError("not enough"), 71, "omezarr-proc: not enough\n"),
        (SettingsError("not good"), 2, "omezarr-proc: not good\n"),
    ],
)
def test_what_the_engine_raises_becomes_one_line(folders, engine: Engine, capsys, error: BaseException, status: int, text: str):
    engine.action = raiser(error)
    assert cli.main(arguments(folders)) == status
    assert capsys.readouterr().err == text


def test_sigterm_unwinds_and_is_143_and_a_second_one_cannot_break_the_way_out(folders, engine: Engine, capsys: pytest.CaptureFixture[str]):
    unwound = []

    def action() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            unwound.append(True)

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    engine.action = action
    try:
        assert cli.main(arguments(folders)) == 143
        os.kill(os.getpid(), signal.SIGTERM)  # while the interpreter ends
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert unwound == [True]
    assert capsys.readouterr().err == f"omezarr-proc: stopped by SIGTERM{GOES_ON}\n"


SLEEPER = """
import sys, time, types, omezarr_proc.app
fake = types.ModuleType("omezarr_proc.app.batch")
def run(settings, inputs, report):
    print("running", flush=True)
    time.sleep(30)
fake.run = run
sys.modules["omezarr_proc.app.batch"] = omezarr_proc.app.batch = fake
from omezarr_proc.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_to_the_program_end_it_with_one_line(folders, number: signal.Signals, status: int):
    command = [sys.executable, "-c", SLEEPER, *arguments(folders)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "running\n"
        program.send_signal(number)
        _, text = program.communicate(timeout=10)
    assert program.returncode == status
    assert text.count("\n") == 1
    assert "Traceback" not in text


@pytest.mark.root
@pytest.mark.shared
@pytest.mark.skipif(not SANDBOX.exists(), reason="needs the shared tools beside the repository")
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make a process 1")
def test_sigterm_ends_it_as_process_1_too(folders, tmp_path: Path):
    report = tmp_path / "report.json"
    options = ["512", "pid1=1", "term_after=2", "grace=5", f"json={report}"]
    command = [SANDBOX, *options, "--", sys.executable, "-c", SLEEPER, *arguments(folders)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if run.returncode == 125:
        pytest.skip(f"no cgroup can be made here: {run.stderr.strip()}")
    assert run.returncode == 143
    assert '"sigkill_needed": false' in report.read_text()


@pytest.mark.parametrize("command", [["-m", "omezarr_proc", "--help"], ["-m", "omezarr_proc", "--version"]])
def test_light_commands_import_nothing_heavy_and_are_quick(command: list[str]):
    environ = {name: value for name, value in os.environ.items() if name != "COVERAGE_PROCESS_CONFIG"}  # coverage imports some itself
    run = subprocess.run([sys.executable, "-X", "importtime", *command], capture_output=True, text=True, cwd=ROOT, env=environ, check=True)
    imported = {line.rpartition("|")[2].strip() for line in run.stderr.splitlines()}
    assert "omezarr_proc.config.settings" in imported
    assert not imported & {
        "numpy",
        "tifffile",
        "imagecodecs",
        "zarr",
        "numcodecs",
        "loguru",
        "tqdm",
        "psutil",
        "urllib.request",
        "multiprocessing",
    }
    seconds = []
    for _ in range(3):
        begin = os.times()
        subprocess.run([sys.executable, *command], capture_output=True, cwd=ROOT, env=environ, check=True)
        end = os.times()
        seconds.append(end.children_user + end.children_system - begin.children_user - begin.children_system)
    assert min(seconds) < 0.3  # of a CPU, which others cannot take; 0.07 on a quiet machine; the imports above are what matters


def test_help_and_version(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"omezarr-proc {__version__}\n"
    assert cli.main(["--help"]) == 0
    assert "--initial-downsample" in capsys.readouterr().out


def test_wrong_settings_import_no_engine():
    code = (
        "import sys; from omezarr_proc.cli import main; status = main([]); print(status, 'numpy' in sys.modules, 'loguru' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env={"PATH": os.environ["PATH"]})
    assert run.stdout == "2 False False\n"


def test_a_reader_that_has_seen_enough_is_no_error(folders):
    for number in range(3000):
        (folders[0] / f"image-with-a-long-name-{number}.tif").write_bytes(b"II*\0")
    code = SLEEPER.replace("fake.run = run", "fake.dry_run = lambda settings, found: [(str(entry.relative) * 9, False) for entry in found]")
    code = code.replace("omezarr_proc.app.batch", "omezarr_proc.app.plan")
    command = [sys.executable, "-c", code, *arguments(folders, "--dry-run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as program:
        assert program.stdout is not None and program.stderr is not None
        program.stdout.readline()
        program.stdout.close()
        assert program.stderr.read() == ""
    assert program.returncode == 0


@pytest.mark.parametrize("verb", flags.VERBS)
def test_every_verb_is_a_module_that_takes_words_and_is_told_of(verb: str, capsys: pytest.CaptureFixture[str]):
    assert cli.main([verb, "--help"]) == 0
    assert "usage: " in capsys.readouterr().out
    assert cli.main(["--help"]) == 0
    assert f"{verb}: " in " ".join(capsys.readouterr().out.split())


def test_a_switch_needs_no_value_and_takes_no_file():
    given = flags.parse(["--preview", "a.tif", "--use-existing-resolutions", "0", "--", "--preview"])
    assert (given.preview, given.use_existing_resolutions, given.files) == ("1", "0", ["a.tif", "--preview"])
    assert flags.parse(["a.tif", "--preview=0"]).preview == "0"
    assert flags.parse(["--preview"]).preview == "1"
    given = flags.parse(["--preview", "True", "--use-existing-resolutions", "false", "a.tif"])
    assert (given.preview, given.use_existing_resolutions, given.files) == ("True", "false", ["a.tif"])


def test_a_word_that_is_nearly_a_verb_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["valdate", "a.ome.zarr"]) == 2
    assert "valdate: there is no such file; is the verb validate meant?" in capsys.readouterr().err


def test_the_verb_convert_may_be_said(folders, engine: Engine) -> None:
    assert cli.main(["convert", *arguments(folders)]) == 0
    assert [entry.relative.name for entry in engine.calls[0][1]] == ["a.tif", "b.ome.tif"]
