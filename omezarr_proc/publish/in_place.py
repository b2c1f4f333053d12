"""The objects of a dataset in the making in an object store: put where they will be, but for what is kept back until it is whole."""

import shutil
import tempfile
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from omezarr_proc.store.documents import ROOT_DOCUMENTS
from omezarr_proc.store.objects import Data, joined
from omezarr_proc.store.remote import Bucket


@dataclass(frozen=True)
class InPlace(Bucket):
    """The objects of a tree in the making: all documents also lie in `place`, to be checked; the `last` ones are kept back."""

    place: Path
    last: tuple[str, ...] = ROOT_DOCUMENTS

    def put(self, key: str, data: Data, *, atomic: bool = False) -> None:
        """See `Objects`."""
        if atomic:
            (self.place / key).parent.mkdir(parents=True, exist_ok=True)
            (self.place / key).write_bytes(joined(data))
        if key not in self.last:
            super().put(key, data, atomic=atomic)


def place_for(owner: object) -> tuple[Path, Callable[[], object]]:
    """A folder of this machine for the documents of a tree, and what removes it, at the latest when `owner` is gone."""
    place = Path(tempfile.mkdtemp(prefix="omezarr-proc-")) / "dataset"
    place.mkdir()
    return place, weakref.finalize(owner, shutil.rmtree, place.parent, ignore_errors=True)
