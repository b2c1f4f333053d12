"""Errors: what they are about, the one line that they are, and that they travel between processes whole."""

import errno
import pickle
from pathlib import Path

import pytest

from omezarr_proc.app.report import Report
from omezarr_proc.config.secret import Mask
from omezarr_proc.engine.base import WorkerLostError
from omezarr_proc.engine.local.process import WorkerDiedError
from omezarr_proc.host.faults import output_error
from omezarr_proc.model import errors
from omezarr_proc.model.errors import (
    CeilingError,
    Exit,
    InputError,
    LimitError,
    NoSpaceError,
    OutOfTimeError,
    OutputError,
    ProcError,
    about,
    leading,
    without_frames,
)

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ProcError)]


def raised(error: ProcError, *inputs: str | Path) -> ProcError:
    with pytest.raises(type(error)) as caught:
        if inputs:
            with about(inputs[-1]):
                raise raised(error, *inputs[:-1])
        raise error
    return caught.value


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (InputError("is cut off"), "is cut off"),
        (InputError("is cut off", source="a.tif"), "a.tif: is cut off"),
        (InputError("is cut off", source=Path("in/a.tif"), hint="copy it again"), "in/a.tif: is cut off; copy it again"),
        (InputError("is cut off", hint="copy it again"), "is cut off; copy it again"),
        (InputError("is cut off", source="a\n.tif"), r"'a\n.tif': is cut off"),
    ],
)
def test_an_error_is_one_line_of_file_what_is_wrong_and_what_to_do(error: ProcError, line: str):
    assert str(error) == line


def test_an_error_without_a_file_is_about_what_was_worked_on():
    assert str(raised(InputError("bad", hint="mend it"), Path("in/a.tif"))) == "in/a.tif: bad; mend it"


def test_a_file_whose_name_is_part_of_another_is_named_all_the_same():
    """By the text alone, `a.tif` would seem to be named in an error about `ba.tif`."""
    assert str(raised(InputError("bad", source="/in/ba.tif"), "a.tif")) == "a.tif: /in/ba.tif: bad"


def test_the_same_file_is_named_once_however_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert str(raised(InputError("bad", source=tmp_path / "a.tif"), "./a.tif", "a.tif")) == f"{tmp_path / 'a.tif'}: bad"


def test_the_innermost_input_counts():
    assert str(raised(OutputError("bad", source="out"), "a.tif", "b.tif")) == "a.tif: out: bad"


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_travels_with_all_that_it_says(kind: type[ProcError]):
    error = raised(kind("bad", source="out/a", hint="mend it"), "a.tif")
    other = pickle.loads(pickle.dumps(error))
    assert type(other) is kind
    assert (other.message, other.source, other.hint, other.input) == ("bad", "out/a", "mend it", "a.tif")
    assert str(other) == str(error)


def test_one_with_arguments_of_its_own_travels_too():
    error = WorkerDiedError(77, -9)
    other = pickle.loads(pickle.dumps(error))
    assert (str(other), other.pid, other.status) == (str(error), 77, -9)


def test_a_kept_error_keeps_no_frames_alive_and_its_causes():
    try:
        try:
            raise OSError(5, "lost")
        except OSError as cause:
            raise InputError("bad") from cause
    except InputError as error:
        kept = without_frames(error)
    assert kept.__traceback__ is None
    assert isinstance(kept.__cause__, OSError) and kept.__cause__.__traceback__ is None


def test_tokens_leave_every_part_of_an_error():
    with pytest.raises(InputError) as caught, Mask(["s3cret-token"]).errors(), about("in/s3cret-token.tif"):
        raise InputError("s3cret-token", source="out/s3cret-token", hint="ask s3cret-token")
    assert str(caught.value) == "in/***.tif: out/***: ***; ask ***"
    assert "s3cret" not in repr(caught.value) + repr(vars(caught.value))


def test_a_report_shows_the_line_of_the_error():
    report = Report()
    report.fail("a.tif", raised(InputError("bad", source="/in/ba.tif"), "a.tif"))
    assert report.table() == ["FAILED   a.tif: /in/ba.tif: bad"]


@pytest.mark.parametrize(
    ("errors", "kind", "status"),
    [
        ([InputError("x")], InputError, 1),
        ([CeilingError("x")], CeilingError, 1),
        ([InputError("x"), NoSpaceError("x")], NoSpaceError, 73),
        ([InputError("x"), NoSpaceError("x"), LimitError("x")], LimitError, 71),
        ([InputError("x"), LimitError("x"), OutOfTimeError("x"), NoSpaceError("x")], OutOfTimeError, 75),
        ([WorkerDiedError(7, -9), InputError("x")], WorkerLostError, 71),
    ],
)
def test_the_error_that_the_least_has_to_be_done_about_leads(errors: list[ProcError], kind: type[ProcError], status: int):
    assert (leading(errors).kind, leading(errors).exit) == (kind, Exit(status))


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, NoSpaceError), (errno.EDQUOT, NoSpaceError), (errno.EROFS, OutputError)])
def test_a_full_disk_is_an_error_of_its_own(number: int, kind: type[ProcError]):
    error = output_error("cannot write", OSError(number, "why"), "out/a")
    assert type(error) is kind
    assert str(error).startswith("out/a: cannot write: why (")
