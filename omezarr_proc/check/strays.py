"""What lies in a dataset and belongs to none of its levels: chunks outside an array, arrays that nobody names, documents of Zarr v2."""

import os
from collections.abc import Iterator
from pathlib import Path

from omezarr_proc.check.finding import Finding
from omezarr_proc.model.errors import InputError
from omezarr_proc.store.read import Array, Dataset, read_json

_DOCUMENTS = {2: (".zarray", ".zattrs"), 3: ("zarr.json", ".zgroup", ".zattrs", ".zarray")}  # those of v2 in v3 are told by themselves


def check_strays(dataset: Dataset) -> Iterator[Finding]:
    """Findings about what does not belong there; of datasets by others they are notes, as Zarr allows it."""
    if dataset.zarr_format == 3:
        yield from _of_zarr_2(dataset)
    yield from _unlisted(dataset)
    for array in dataset.arrays:
        strays = _strays(dataset.path, array, dataset.zarr_format)
        if first := next(strays, None):
            more = sum(1 for _ in strays)
            others = f", and {more} more" if more else ""
            rule = "nothing but the chunks of an array lies in its folder: what else is there is left of another array"
            yield Finding("viewers", f"{array.path}/{first}", f"is no chunk of its array{others}", rule, "remove it")


def _of_zarr_2(dataset: Dataset) -> Iterator[Finding]:
    rule, hint = "no Zarr v2 files beside those of v3: Neuroglancer refuses the store", "remove it"
    folders = [Path(), *(Path(array.path) for array in dataset.arrays)]
    for name in (folder / name for folder in folders for name in (".zgroup", ".zattrs", ".zarray")):
        if (dataset.path / name).exists():
            yield Finding("viewers", str(name), "is there", rule, hint)


def _unlisted(dataset: Dataset) -> Iterator[Finding]:
    """Arrays beside the levels."""
    listed = {path.split("/")[0] for path in (*(array.path for array in dataset.arrays), *(where for where, _ in dataset.problems))}
    for folder in sorted(path for path in dataset.path.iterdir() if path.name not in listed):
        if _is_array(folder):
            rule = "multiscales lists every array: nobody sees a level that it leaves out"
            yield Finding("viewers", folder.name, "is an array that multiscales does not list", rule, "list it, or remove it")


def _is_array(folder: Path) -> bool:
    if (folder / ".zarray").is_file():
        return True
    try:
        return (folder / "zarr.json").is_file() and read_json(folder / "zarr.json").get("node_type") == "array"
    except InputError:
        return False


def _strays(root: Path, array: Array, zarr_format: int) -> Iterator[str]:
    """The files in an array's folder that are none of its documents or chunks, relative to it."""
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            entries = sorted(os.scandir(root / array.path / folder), key=lambda entry: entry.name)
        except OSError:
            continue  # chunks that cannot be read are told of as such
        for entry in entries:
            name = f"{folder}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                folders.append(f"{name}/")
            elif name not in _DOCUMENTS[zarr_format] and not _is_chunk(name, array):
                yield name


def _is_chunk(name: str, array: Array) -> bool:
    parts = name.split(array.separator)
    if array.prefixed and parts.pop(0) != "c":
        return False
    if not parts and not array.grid:
        return True
    grid = array.grid or (1,)  # without axes there is one chunk, in Zarr v2 named 0
    return len(parts) == len(grid) and all(
        part.isdecimal() and str(int(part)) == part and int(part) < end for part, end in zip(parts, grid, strict=True)
    )
