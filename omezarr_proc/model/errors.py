"""What can go wrong, by who must act. Every error says in one line which file or setting, what is wrong, and what to do."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from omezarr_proc.model.text import shown

Path = str | os.PathLike[str]


class ProcError(Exception):
    """Base of all errors that are meant for the user as they stand. `str(error)` is the whole line; errors are pickled with all they say.

    message  what is wrong
    source   the file or folder that it is about, where there is one
    hint     what to do
    input    the input that was being converted, where `source` is another file
    """

    def __init__(self, message: str, *, source: Path | None = None, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.source = None if source is None else os.fspath(source)
        self.hint = hint
        self.input: str | None = None

    def __str__(self) -> str:
        files = [shown(file) for file in (self.input, self.source) if file is not None]
        return "; ".join(filter(None, (": ".join([*files, self.message]), self.hint)))

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (type(self), self.args), self.__dict__


class SettingsError(ProcError):
    """One or more settings have wrong values (exit status 2)."""


class InputError(ProcError):
    """This input cannot be converted faithfully: corrupt, unsupported or incomplete."""


class LimitError(ProcError):
    """This input does not fit into the memory there is, or is beyond a ceiling of the settings; the message says which and what to do."""


class OutOfTimeError(ProcError):
    """The deadline is near; what is finished is recorded, and running again goes on from there."""


class OutputError(ProcError):
    """The output cannot be written: full, read-only, vanished, or another dataset is in the way."""


@contextmanager
def about(source: Path) -> Iterator[None]:
    """Within, an error that names no file is about `source`; one that names another file says that it came up with this input."""
    try:
        yield
    except ProcError as error:
        name = os.fspath(source)
        if error.source is None:
            error.source = name
        elif error.input is None and os.path.abspath(error.source) != os.path.abspath(name):
            error.input = name
        raise


def without_frames(error: ProcError) -> ProcError:
    """The same error, to be kept: its traceback, and those of its causes, would keep alive whatever the functions that it passed had."""
    link: BaseException | None = error
    while link is not None:
        link.__traceback__ = None
        link = link.__cause__ or link.__context__
    return error


def _unpickled(kind: type[ProcError], args: tuple[Any, ...]) -> ProcError:
    return kind.__new__(kind, *args)  # not by __init__: a subclass may take other arguments
