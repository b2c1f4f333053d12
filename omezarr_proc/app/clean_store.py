"""`clean s3://...`: what unfinished conversions have left in an object store. Datasets stay, and what is not named as a part of one."""

from collections.abc import Iterator

from omezarr_proc.host.remote import listed
from omezarr_proc.model.address import Address
from omezarr_proc.model.errors import OutputError
from omezarr_proc.model.text import one_line, shown
from omezarr_proc.publish.hidden import IN_STORE
from omezarr_proc.publish.holder import moment
from omezarr_proc.publish.in_store import InStoreRoot
from omezarr_proc.publish.lock import LockedError
from omezarr_proc.publish.store_contents import rows_of
from omezarr_proc.publish.store_lock import StoreLock
from omezarr_proc.store.remote import Bucket

_NODES = frozenset({"zarr.json", ".zgroup", ".zarray"})


def treat_all(root: Address, *, remove: bool) -> Iterator[bool]:
    """Print a line for each dataset with something left, and yield whether it is as it should be. Raises OSError."""
    for dataset in unfinished(root):
        line, right = treat(dataset, remove=remove)
        print(one_line(line), flush=True)
        yield right


def unfinished(root: Address) -> Iterator[Address]:
    """Where hidden objects are. Raises OSError."""
    for folder, inner, _ in folders(root):
        if any(found.name == IN_STORE.rstrip("/") for found in inner) and any(True for _ in Bucket(folder).keys(IN_STORE)):
            yield folder  # some servers list prefixes that are empty


def folders(root: Address) -> Iterator[tuple[Address, list[Address], bool]]:
    """`root` and the folders below it; of each those directly below it, and whether it is a Zarr node, or named as one (.zarr).

    Nothing inside a node is yielded, no hidden folder, and no row of a plate that is being made, which is no node yet. Raises OSError.
    """
    left = [root]
    while left:
        folder = left.pop()
        inner, names = listed(folder)
        node = folder.name.lower().endswith(".zarr") or bool(_NODES & {name for name, _ in names})
        yield folder, inner, node
        if not node:
            of_plate = rows_of(Bucket(folder)) if any(found.name == IN_STORE.rstrip("/") for found in inner) else ()
            left += [found for found in sorted(inner, reverse=True) if not found.name.startswith(".") and found.name not in of_plate]


def treat(dataset: Address, *, remove: bool) -> tuple[str, bool]:
    """Remove what is left of a conversion, or only look; returns what to tell, and whether all is as it should be."""
    name, bucket = shown(dataset), Bucket(dataset)
    try:
        if not InStoreRoot.is_ours(dataset):
            return f"{name}: {IN_STORE} is left, since it is not known to be of omezarr_proc", True
        last = moment(bucket.latest(IN_STORE))
        if not remove:
            return f"{name}: an unfinished conversion would be removed, last worked on {last}", True
        with StoreLock(dataset):
            InStoreRoot.refuse_parts(dataset)
            InStoreRoot.clean(dataset)
        return f"{name}: an unfinished conversion is removed, last worked on {last}", True
    except LockedError as error:
        return str(error), True
    except OutputError as error:
        return str(error), False
    except OSError as error:
        return f"{name}: cannot be removed: {error.strerror}", False
