"""What a part makes of a dataset that several make: a share of its chunks, in the same staging folder, with a record and a lock of its own.

    begin    under the lock of the part. The lock of the dataset is only taken to see to the staging folder and the dataset's record: so
             parts, and a run without parts, which holds it from its begin to its end, keep each other out
    work     chunks go where those of all parts go. Who makes a chunk twice makes the same bytes: what two do at once does no harm
    finish   a part whose record ends with `end finished` has made all of its share. Each notes its own end, then looks at those of
             the others: who is last sees all, takes the lock of the dataset and goes on as a run without parts would, from all
             their records

No part is waited for, and none knows which of the others work at present. Records of another dataset key are of another version, other
settings or another state of the input: who finds such refuses to work, for what they tell of would be lost.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from omezarr_proc.host.faults import output_error
from omezarr_proc.model.address import Place
from omezarr_proc.model.errors import InTheWayError
from omezarr_proc.model.part import Part
from omezarr_proc.publish.fields import Field
from omezarr_proc.publish.hidden import part_files, part_target, record_path, staging_path
from omezarr_proc.publish.history import History, is_ended, read, recorded_key
from omezarr_proc.publish.lock import Lock
from omezarr_proc.publish.record import Record
from omezarr_proc.store.folder import Folder
from omezarr_proc.store.objects import Objects
from omezarr_proc.store.opening import is_folder, open_file, read_file

# How long the begin of one part may take while others wait for theirs.
PATIENCE = 20.0
FINISHED = "finished"  # as the attempt ends that has made all of a share
_LINE_BYTES = 1024  # more than the lines of a record that begin and end it have


class Share:
    """The share of a part, an `OfFields`: what is noted of it, and where it is made."""

    def __init__(self, target: Path, part: Part, key: str, parts: Sequence[int]) -> None:
        """Go on with what this and others have noted. The staging folder is there, and the caller holds the lock of the part.

        parts  the numbers of all that have a share. Raises OutputError.
        """
        self._parts = list(parts)
        self._record, self._others = Record.of_part(target, part, key), _histories_of_others(target, part, key)
        self.place = self._record.staging
        self.objects: Objects = Folder(str(self.place))
        self.units = (*self._record.units, *(unit for history in self._others for unit in history.units))
        self.unfinished, self.stalled = self._record.history.unfinished, self._record.history.stalled
        self.add, self.end, self.close = self._record.add, self._record.end, self._record.close

    def begin(self, plan: dict[str, Any]) -> None:
        """See `Noting`."""
        self._record.begin(plan | {"parts": self._parts})

    def flush(self) -> None:
        """See `Noting`."""
        self._record.flush()

    def field(self, path: str) -> Field:
        """See `OfFields`."""
        return Field(self._record, path, self.place / path, Folder(str(self.place / path)), self._others)

    def give_up(self) -> None:
        """Forget what the part has noted: another attempt must make it again. Only after `close`."""
        self._record.path.unlink(missing_ok=True)


def is_done(target: Path, key: str, part: Part) -> bool:
    """Whether a part has noted that its share of a dataset is done. Raises OutputError."""
    path = record_path(part_target(target, part))
    try:
        with open(open_file(path), "rb") as file:
            begin = file.read(_LINE_BYTES)
            file.seek(max(0, file.seek(0, os.SEEK_END) - _LINE_BYTES))
            return recorded_key(begin) == key and is_ended(file.read(), FINISHED)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise output_error("cannot be read", error, path) from error


def is_set_up(target: Path, key: str) -> bool:
    """Whether there is a staging folder for a dataset with this key. The caller holds the dataset's lock. Raises OutputError."""
    return _history(record_path(target), key) is not None and is_folder(staging_path(target))


def histories_of_parts(target: Path, key: str) -> list[History]:
    """What all parts have noted of a dataset. Raises OutputError."""
    return _histories((path for _, path in _records(target)), key)


def refuse_other_keys(target: Path, key: str) -> None:
    """Raise InTheWayError where a part has noted another key than this one."""
    for part, path in _records(target):
        try:
            other = recorded_key(read_file(path))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise output_error("cannot be read", error, path) from error
        if other not in (None, key):
            raise other_key(part, target)


def other_key(part: Part, target: Place) -> InTheWayError:
    """The error where a part has noted another key."""
    return InTheWayError(
        f"part {part} of this dataset has been worked on by another version, with other settings, or before its input was changed:"
        " all parts must be alike; to begin anew with these, remove what is left with `omezarr-proc clean`, then run all again",
        source=target,
    )


def _histories_of_others(target: Path, part: Part, key: str) -> list[History]:
    """What runs without parts, or of another number of them, have noted. What those of this number have is theirs, and can be much."""
    return _histories((record_path(target), *(path for other, path in _records(target) if other.of != part.of)), key)


def _histories(paths: Iterable[Path], key: str) -> list[History]:
    return [history for path in paths if (history := _history(path, key))]


def _records(target: Path) -> list[tuple[Part, Path]]:
    try:
        return [(part, path) for part, role, path in part_files(target) if role == "record"]
    except OSError as error:
        raise output_error("cannot be listed", error, target.parent) from error


def _history(path: Path, key: str) -> History | None:
    try:
        return read(read_file(path), key)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise output_error("cannot be read", error, path) from error


def lock_of(target: Path, part: Part) -> Lock:
    """The right to work on the share of a part, to be entered."""
    return Lock(part_target(target, part))
