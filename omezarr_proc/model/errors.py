"""What can go wrong, by who must act. Every error says in one line which file or setting, what is wrong, and what to do.

Each class has a code, a word that never changes, for alarms and reports (docs/runbook.md says what to do about each), and an exit status.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any, ClassVar

from omezarr_proc.model.text import shown

Path = str | os.PathLike[str]


class Exit(IntEnum):
    """How a run ends, as a retry policy wants to know it: by what must be done before the same again can do better.

    Numbers above 63 are those of sysexits.h: EX_OSERR, EX_CANTCREAT, EX_TEMPFAIL; 130 and 143 are a shell's for SIGINT and SIGTERM.
    """

    OK = 0
    INPUT_FAILED = 1  # and would fail again
    WRONG_SETTINGS = 2
    NEEDS_MORE = 71  # memory, processes
    CANNOT_WRITE = 73
    TRY_AGAIN = 75  # as it is
    INTERRUPTED = 130
    TERMINATED = 143


class ProcError(Exception):
    """Base of all errors that are meant for the user as they stand. `str(error)` is the whole line; errors are pickled with all they say.

    A class of its own, so neither of the following: a mistake of ours, or a library's surprise at a broken file.

    message  what is wrong
    source   the file or folder that it is about, where there is one
    hint     what to do
    input    the input that was being converted, where `source` is another file
    """

    code: ClassVar[str] = "unexpected"
    exit: ClassVar[Exit] = Exit.INPUT_FAILED

    def __init__(self, message: str, *, source: Path | None = None, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.source = None if source is None else os.fspath(source)
        self.hint = hint
        self.input: str | None = None

    def __str__(self) -> str:
        files = [shown(file) for file in (self.input, self.source) if file is not None]
        return "; ".join(filter(None, (": ".join([*files, self.message]), self.hint)))

    @property
    def kind(self) -> "type[ProcError]":
        """The class that has its code: what a caller catches, and Lambda calls the error."""
        return next(kind for kind in type(self).__mro__ if "code" in vars(kind))

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (type(self), self.args), self.__dict__


class SettingsError(ProcError):
    """One or more settings have wrong values."""

    code = "wrong-settings"
    exit = Exit.WRONG_SETTINGS


class MissingFolderError(SettingsError):
    """INPUT_DIR or OUTPUT_DIR is not there, or cannot be read or written: a volume is not mounted, or belongs to somebody else."""

    code = "missing-folder"


class NothingToConvertError(SettingsError):
    """There is no TIFF below INPUT_DIR."""

    code = "nothing-to-convert"


class InputError(ProcError):
    """This input cannot be converted faithfully: corrupt or incomplete, unless it is one of the following."""

    code = "corrupt-input"


class UnsupportedInputError(InputError):
    """What the input holds is no image that this program, or any viewer, can show; it may be all right."""

    code = "unsupported-input"


class UnreadableInputError(InputError):
    """The input is not there, may not be read, or its storage does not give it."""

    code = "unreadable-input"


class ChangedInputError(InputError):
    """The input was written to while it was read."""

    code = "changed-input"
    exit = Exit.TRY_AGAIN


class LimitError(ProcError):
    """This input does not fit into the memory there is; the message says how much would do."""

    code = "too-little-memory"
    exit = Exit.NEEDS_MORE


class CeilingError(LimitError):
    """This input is beyond a ceiling of the settings (MAX_PIXELS, MAX_CHUNKS, MAX_SEGMENTS); the message says which."""

    code = "beyond-ceiling"
    exit = Exit.INPUT_FAILED


class ProcessLimitError(LimitError):
    """No more processes or threads are allowed."""

    code = "too-few-processes"


class OutOfTimeError(ProcError):
    """The deadline is near; what is finished is recorded, and running again goes on from there."""

    code = "out-of-time"
    exit = Exit.TRY_AGAIN


class OutputError(ProcError):
    """The output cannot be written: read-only, vanished, not allowed."""

    code = "cannot-write"
    exit = Exit.CANNOT_WRITE


class DifferentOutputError(OutputError):
    """What was stored is not what the input gives (VERIFY=1): the memory, the storage or this program has made a mistake."""

    code = "different-output"


class NoSpaceError(OutputError):
    """The file system of the output is full, or the quota is used up."""

    code = "no-space"


class StoreUnavailableError(OutputError):
    """An object store does not answer, or not as it should; that passes."""

    code = "store-unavailable"
    exit = Exit.TRY_AGAIN


class ClusterError(ProcError):
    """The Dask cluster (CLUSTER) does not answer, or has no worker; what is finished is recorded."""

    code = "no-cluster"
    exit = Exit.TRY_AGAIN


class InTheWayError(OutputError):
    """Something is where the dataset, or what is made before it, would be, and it is not ours to remove."""

    code = "in-the-way"


def leading(errors: Iterable[ProcError]) -> ProcError:
    """The one of some errors that says what to do with the run: the first that the least has to be done about before running again."""
    order = (Exit.TRY_AGAIN, Exit.NEEDS_MORE, Exit.CANNOT_WRITE, Exit.INPUT_FAILED, Exit.WRONG_SETTINGS)
    return min(errors, key=lambda error: order.index(error.exit))


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
