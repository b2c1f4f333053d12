"""Faults: passing errors are tried again, others at once given up; renames that were done though they answered with an error."""

import errno
import os
from pathlib import Path

import pytest

from omezarr_proc.host.faults import PASSING, describe, rename, retry


@pytest.mark.parametrize("code", sorted(PASSING))
def test_passing_errors_are_tried_again(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    answers = [OSError(code, "hiccup"), OSError(code, "hiccup")]

    def work() -> str:
        if answers:
            raise answers.pop()
        return "done"

    assert retry(work, tries=3, pause=0.5) == "done"
    assert pauses == [0.5, 1.0]


def test_the_last_error_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    calls = []

    def work() -> None:
        calls.append(1)
        raise OSError(errno.EIO, "hiccup")

    with pytest.raises(OSError, match="hiccup"):
        retry(work, tries=4)
    assert len(calls) == 4


def test_other_errors_are_raised_at_once() -> None:
    answers = [OSError(errno.ENOSPC, "full")]
    with pytest.raises(OSError, match="full"):
        retry(lambda: (_ for _ in ()).throw(answers.pop()))
    assert answers == []


def test_rename_that_was_done_though_it_timed_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    done = os.rename

    def timed_out(source: Path, to: Path) -> None:
        done(source, to)
        raise OSError(errno.ETIMEDOUT, "timed out")

    monkeypatch.setattr(os, "rename", timed_out)
    (tmp_path / "a").mkdir()
    rename(tmp_path / "a", tmp_path / "b")
    assert os.listdir(tmp_path) == ["b"]
    with pytest.raises(FileNotFoundError):
        rename(tmp_path / "absent", tmp_path / "b")


def test_describe_says_what_to_do() -> None:
    assert describe(OSError(errno.ENOSPC, "No space left on device")) == (
        "No space left on device (the file system of OUTPUT_DIR is full: free space, then run again)"
    )
    assert describe(OSError("odd")) == "odd"
