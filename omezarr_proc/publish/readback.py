"""Whether a published dataset is there under its final name: some mounts answer a rename that their server does not know of."""

import os
from pathlib import Path

from omezarr_proc.host.faults import describe, retry
from omezarr_proc.model.errors import OutputError
from omezarr_proc.store.opening import read_file

ROOTS = ("zarr.json", ".zattrs")  # what makes a folder a dataset, in Zarr v3 and v2


def root_of(dataset: Path) -> tuple[str, bytes]:
    """Name and content of the file that makes the folder a dataset. Raises OSError."""
    name = next((name for name in ROOTS if os.path.lexists(dataset / name)), ROOTS[0])
    return name, read_file(dataset / name)


def read_back(path: Path, expected: bytes) -> None:
    """Raise OutputError unless the file holds what was written."""
    try:
        if retry(lambda: read_file(path)) == expected:
            return
        reason = "it is not what was written"
    except OSError as error:
        reason = describe(error)
    raise OutputError(
        f"cannot be read back after publishing ({reason}): the file system of OUTPUT_DIR does not keep what is renamed there;"
        " remove this dataset and write to another one (an rclone mount needs --vfs-cache-mode full)",
        source=path,
    )
