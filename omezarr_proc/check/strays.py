"""What lies in a dataset and belongs to none of its levels: chunks outside an array, arrays that nobody names, documents of Zarr v2."""

from collections.abc import Iterator
from contextlib import contextmanager

from omezarr_proc.check.finding import Finding
from omezarr_proc.host.store_errors import refuse_silence
from omezarr_proc.model.errors import InputError
from omezarr_proc.store.read import Dataset, read_json
from omezarr_proc.store.zarr_array import Array

_DOCUMENTS = {2: (".zarray", ".zattrs"), 3: ("zarr.json", ".zgroup", ".zattrs", ".zarray")}  # those of v2 in v3 are told by themselves


def check_strays(dataset: Dataset) -> Iterator[Finding]:
    """Findings about what does not belong there; of datasets by others they are notes, as Zarr allows it."""
    if dataset.zarr_format == 3:
        yield from _of_zarr_2(dataset)
    yield from _unlisted(dataset)
    for array in dataset.arrays:
        strays = _strays(dataset, array)
        if first := next(strays, None):
            more = sum(1 for _ in strays)
            others = f", and {more} more" if more else ""
            rule = "nothing but the chunks of an array lies in its folder: what else is there is left of another array"
            yield Finding("viewers", f"{array.path}/{first}", f"is no chunk of its array{others}", rule, "remove it")


def _of_zarr_2(dataset: Dataset) -> Iterator[Finding]:
    rule, hint = "no Zarr v2 files beside those of v3: Neuroglancer refuses the store", "remove it"
    folders, objects = ("", *(f"{array.path}/" for array in dataset.arrays)), dataset.objects
    for key in (f"{folder}{name}" for folder in folders for name in (".zgroup", ".zattrs", ".zarray")):
        with _unheard():
            if objects.exists(key):
                yield Finding("viewers", key, "is there", rule, hint)


def _unlisted(dataset: Dataset) -> Iterator[Finding]:
    """Arrays beside the levels."""
    listed = {path.split("/")[0] for path in (*(array.path for array in dataset.arrays), *(where for where, _ in dataset.problems))}
    folders: list[str] = []
    with _unheard():
        folders = sorted(set(dataset.objects.names()[0]) - listed)
    for folder in filter(lambda folder: _is_array(dataset, folder), folders):
        rule = "multiscales lists every array: nobody sees a level that it leaves out"
        yield Finding("viewers", folder, "is an array that multiscales does not list", rule, "list it, or remove it")


def _is_array(dataset: Dataset, folder: str) -> bool:
    objects = dataset.objects
    with _unheard():
        if objects.exists(f"{folder}/.zarray"):
            return True
    try:
        return (read_json(objects, dataset.path, f"{folder}/zarr.json") or {}).get("node_type") == "array"
    except InputError:
        return False


def _strays(dataset: Dataset, array: Array) -> Iterator[str]:
    """The objects below an array that are none of its documents or chunks, relative to it."""
    with _unheard():  # chunks that cannot be read are told of as such
        for key in dataset.objects.keys(f"{array.path}/"):
            name = key.removeprefix(f"{array.path}/")
            if name not in _DOCUMENTS[dataset.zarr_format] and not _is_chunk(name, array):
                yield name


@contextmanager
def _unheard() -> Iterator[None]:
    """Within, what may not be looked at, or cannot, as on a web server, is passed over. Raises StoreUnavailableError."""
    try:
        yield
    except OSError as error:
        refuse_silence(error)


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
