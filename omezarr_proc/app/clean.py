"""`clean OUTPUT_DIR`: list and remove what conversions that did not finish have left in hidden files, in all subfolders.

A run for the same inputs would go on from there; this is for when there will be none. Datasets stay: one that was being replaced is as it
was, or new. What a run works on now is left alone, and so is what only has names like ours. Links are not followed. Exit status: 0 nothing
is left but that, 1 something could not be removed or looked at, 2 wrong usage.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from loguru import logger

from omezarr_proc.app import clean_store
from omezarr_proc.app.parser import VerbParser
from omezarr_proc.host.store_errors import store_error
from omezarr_proc.model.address import Address, Place
from omezarr_proc.model.errors import OutputError
from omezarr_proc.model.text import one_line, shown
from omezarr_proc.publish import by_rename, by_root_last
from omezarr_proc.publish.existing import is_node
from omezarr_proc.publish.hidden import INSIDE, hidden_files, is_ours
from omezarr_proc.publish.holder import moment
from omezarr_proc.publish.leftovers import refuse_parts
from omezarr_proc.publish.lock import Lock, LockedError

_LOCKS = frozenset({"lock", "owner"})


def main(argv: list[str]) -> int:
    """Remove, or with --dry-run only list, and print a line for each dataset; returns the exit status."""
    parser = VerbParser(
        "clean",
        "List and remove what unfinished conversions have left in OUTPUT_DIR and its subfolders; datasets stay.",
        "What a run works on now is left alone. Exit status: 0 done, 1 something could not be removed, 2 wrong usage.",
    )
    parser.add_output_dir()
    parser.add_argument("--dry-run", action="store_true", help="only list")
    arguments = parser.parse_args(argv)
    logger.disable("omezarr_proc")  # what the steps of a conversion would log is in the lines below
    try:
        treated = list(_treat_all(arguments.folder, remove=not arguments.dry_run))
    except OSError as error:
        raise store_error("cannot be listed", error, arguments.folder) from None
    finally:
        logger.enable("omezarr_proc")
    if not treated:
        print(one_line(f"{shown(arguments.folder)}: nothing is left of unfinished conversions"))
    return 0 if all(treated) else 1


def _treat_all(root: Place, *, remove: bool) -> Iterator[bool]:
    """Print a line for each dataset and yield whether it is as it should be. Raises OSError where a store cannot be listed."""
    if isinstance(root, Address):
        yield from clean_store.treat_all(root, remove=remove)
        return
    for folder in folders(root):
        try:
            found = leftovers(folder)
        except OSError as error:
            print(one_line(f"{shown(folder)}: cannot be looked at: {error.strerror}"), flush=True)
            yield False
            continue
        for target, hidden in found.items():
            line, right = treat(target, hidden, remove=remove)
            print(one_line(line), flush=True)
            yield right


def folders(root: Path) -> Iterator[Path]:
    """`root` and the folders below it in which datasets are, in order: not the hidden ones, no Zarr stores or arrays, no links."""
    yield root
    for parent, names, _ in os.walk(root):
        names[:] = sorted(name for name in names if not name.startswith(".") and not name.lower().endswith(".zarr"))
        names[:] = [name for name in names if not is_node(Path(parent, name))]
        yield from (path for name in names if not (path := Path(parent, name)).is_symlink())


def leftovers(folder: Path) -> dict[Path, list[Path]]:
    """The hidden files of each dataset in a folder, but for those that have only a lock. Raises OSError."""
    found: dict[Path, list[Path]] = {}
    roles: dict[Path, set[str]] = {}
    for name, role, path in hidden_files(folder):
        found.setdefault(folder / name, []).append(path)
        roles.setdefault(folder / name, set()).add(role)
    return {target: paths for target, paths in found.items() if not all(role.rpartition(".")[2] in _LOCKS for role in roles[target])}


def treat(target: Path, hidden: list[Path], *, remove: bool) -> tuple[str, bool]:
    """Remove the hidden files of a dataset, or only look; returns what to tell, and whether all is as it should be."""
    listed = f"{shown(target.parent)}: {', '.join(shown(path.name) for path in hidden)}"
    try:
        with Lock(target, patience=0):
            refuse_parts(target)
            last = max(path.lstat().st_mtime for path in hidden)
            if remove:
                by_root_last.clean(target.parent) if target.name == INSIDE else by_rename.clean(target)
            if not any(os.path.lexists(path) for path in hidden):
                return f"{listed}: removed", True
            if not is_ours(target):
                return f"{listed}: left, since it is not known to be of omezarr_proc", True
            if not remove:
                return f"{listed}: would be removed, last worked on {moment(last)}", True
            return f"{listed}: cannot be removed whole: its files may not be removed, or are open elsewhere", False
    except LockedError as error:
        return str(error), True
    except OutputError as error:
        return str(error), False
    except OSError as error:
        return f"{listed}: cannot be looked at: {error.strerror}", False
