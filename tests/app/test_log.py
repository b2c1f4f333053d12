"""The log: form, level, and that a token never gets out."""

import io
import json
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loaded import load_settings
from loguru import logger

from omezarr_proc.app import log
from omezarr_proc.config.settings import Settings
from omezarr_proc.model.text import one_line

TOKEN = "s3cr3t-token/with\"quote'and\\slash"


def settings(**variables: str) -> Settings:
    return load_settings({"INPUT_DIR": "in", "OUTPUT_DIR": "out"} | variables, {})


@pytest.fixture(autouse=True)
def lines() -> Iterator[list[str]]:
    written: list[str] = []
    yield written
    log.close()


def test_text_lines_are_short(lines: list[str]):
    log.configure(settings(), lines.append)
    logger.info("a plain {thing} <red>here</red>")
    logger.warning("mind this")
    logger.debug("not shown")
    assert [line[8:] for line in lines] == [" a plain {thing} <red>here</red>\n", " WARNING mind this\n"]
    assert lines[0][2] == lines[0][5] == ":"


def test_what_comes_out_of_files_cannot_break_the_line_or_steer_the_terminal(lines: list[str]):
    log.configure(settings(), lines.append)
    logger.info("name\n12:00:00 ERROR forged \x1b[2J \udcff \u202e é")
    assert lines[0][9:] == r"name\n12:00:00 ERROR forged \x1b[2J \udcff \u202e é" + "\n"


@given(st.text())
def test_one_line_is_printable_and_keeps_what_is(text: str):
    assert one_line(text).isprintable()
    assert one_line(one_line(text)) == one_line(text)


def test_json_lines_hold_what_is_bound(lines: list[str]):
    log.configure(settings(LOG_FORMAT="json", LOG_LEVEL="DEBUG"), lines.append)
    logger.bind(image="a.tif", percent=5, shape=(3, 4), level="mine").debug('half\ndone "so"')
    entry = json.loads(lines[0])
    assert lines[0].count("\n") == 1
    assert {key: entry[key] for key in ("level", "message", "image", "percent", "shape")} == {
        "level": "DEBUG",
        "message": 'half\ndone "so"',
        "image": "a.tif",
        "percent": 5,
        "shape": [3, 4],
    }
    assert "exception" not in entry


@pytest.mark.parametrize(
    ("level", "quiet", "shown"), [("DEBUG", False, 4), ("INFO", False, 3), ("ERROR", False, 1), ("DEBUG", True, 2), ("ERROR", True, 1)]
)
def test_level_and_quiet(lines: list[str], level: str, quiet: bool, shown: int):
    log.configure(settings(LOG_LEVEL=level), lines.append, quiet=quiet)
    for severity in ("DEBUG", "INFO", "WARNING", "ERROR"):
        logger.log(severity, "message")
    assert len(lines) == shown


@pytest.mark.parametrize("form", ["text", "json"])
def test_tokens_never_get_out(lines: list[str], form: str):
    log.configure(settings(LOG_FORMAT=form, SESSION_TOKEN=TOKEN, REFRESH_TOKEN=TOKEN + "-more"), lines.append)
    logger.info(f"{TOKEN} in the middle {TOKEN}-more, as repr {TOKEN!r}, as json {json.dumps(TOKEN)}")
    logger.bind(note=TOKEN, nested={"deep": [TOKEN]}).error("bound")
    try:
        secret = TOKEN  # a local variable that a diagnosing traceback would show
        raise ValueError(f"no good: {secret}")
    except ValueError:
        logger.exception("failed with {}", TOKEN)
    text = "".join(lines)
    assert "ValueError: no good: ***" in text
    assert "s3cr3t" not in text
    assert "-more" not in text
    if form == "json":
        entries = [json.loads(line) for line in lines]
        assert entries[1]["note"] == "***"
        assert "Traceback" in entries[2]["exception"]


def test_close_forgets_the_settings(lines: list[str]):
    log.configure(settings(SESSION_TOKEN=TOKEN), lines.append)
    log.close()
    logger.error("into the void")
    assert lines == []


def test_configuring_again_replaces(lines: list[str]):
    log.configure(settings(), lambda text: pytest.fail("the first configuration is still there"))
    log.configure(settings(), lines.append)
    logger.info("once")
    assert len(lines) == 1


def test_default_is_stderr_and_no_thread(capsys: pytest.CaptureFixture[str]):
    threads = threading.active_count()
    log.configure(settings())
    logger.info("hello")
    assert capsys.readouterr().err.endswith(" hello\n")
    assert threading.active_count() == threads


def test_a_failing_log_is_not_silent():
    def broken(text: str) -> None:
        raise io.UnsupportedOperation("gone")

    log.configure(settings(), broken)
    with pytest.raises(io.UnsupportedOperation):
        logger.info("x")
