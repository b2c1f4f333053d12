"""What is stored of an OME-Zarr image, of ours or of others: its root metadata and its arrays as plain values, without zarr.

Nothing is taken on trust, since the files may be anybody's.
"""

import json
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omezarr_proc.host.store_errors import refuse_silence
from omezarr_proc.model.address import Place
from omezarr_proc.model.errors import InputError
from omezarr_proc.ngff.versions import UnsaidError, as_05
from omezarr_proc.store.objects import Objects
from omezarr_proc.store.places import objects_at
from omezarr_proc.store.zarr_array import Array, Json, array_of
from omezarr_proc.store.zipped import zipped_at


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """One image: its root attributes and its levels in the order of `multiscales`.

    problems  (where, what is wrong) of array metadata that cannot be read; such a level is not in `arrays`
    stored    where its chunks are, if not at `path`: of a tree in an object store only the documents are beside this process
    """

    path: Place
    zarr_format: int
    attributes: Json
    arrays: tuple[Array, ...]
    problems: tuple[tuple[str, str], ...] = field(default=())
    stored: Objects | None = None

    @property
    def objects(self) -> Objects:
        """Where its chunks are, and but for those of a tree its documents."""
        return self.stored or objects_at(self.path)

    @property
    def ome(self) -> Json:
        """The metadata that a reader would take: NGFF 0.5 or 0.6 where it is there, else 0.4."""
        return metadata_of(self.attributes)

    @property
    def own(self) -> Json | None:
        """Our block, where the dataset was made by this program."""
        found = self.attributes.get("omezarr_proc")
        return found if isinstance(found, dict) else None

    def origin(self, axis: str) -> int:
        """Where it begins along an axis in the image of which it is a part, in full-resolution steps; 0 where nothing is said of it."""
        found = (self.own or {}).get("origin")
        begin = found.get(axis, 0) if isinstance(found, dict) else 0
        return begin if isinstance(begin, int) and begin > 0 else 0

    @property
    def axes(self) -> tuple[str, ...]:
        """The names of the axes, as far as they are readable."""
        axes = first_multiscale(self.ome).get("axes")
        return tuple(str(axis.get("name")) if isinstance(axis, dict) else str(axis) for axis in axes) if isinstance(axes, list) else ()


def metadata_of(attributes: Json, kind: str = "multiscales") -> Json:
    """The NGFF metadata of a `kind` in a group's attributes: those of 0.5 or 0.6 where they are there, else of 0.4."""
    ome = attributes.get("ome")
    return ome if isinstance(ome, dict) and kind in ome else attributes


def first_multiscale(ome: Json) -> Json:
    """The one image of `multiscales`, in the words of 0.5 where that of 0.6 can be said in them; empty where there is none."""
    match ome.get("multiscales"):
        case [dict(found), *_]:
            with suppress(UnsaidError):
                return as_05(found) if "coordinateSystems" in found else found
            return found
    return {}


def open_dataset(path: Place) -> Dataset:
    """Read the metadata of an OME-Zarr image. Raises InputError where the root is none, StoreUnavailableError."""
    attributes, zarr_format, stated = _read_group(path)
    objects = objects_at(path)
    arrays: list[Array] = []
    problems: list[tuple[str, str]] = []
    if stated != zarr_format:
        problems.append(("zarr_format", f"is {stated!r} in the metadata of the root, which is laid out as Zarr v{zarr_format}"))
    for level in level_paths(metadata_of(attributes)):
        try:
            arrays.append(_read_array(objects, path, level, zarr_format))
        except (InputError, ValueError, KeyError, TypeError, AttributeError) as error:
            text = str(error) if isinstance(error, InputError) else f"its array metadata is wrong: {type(error).__name__}: {error}"
            problems.append((level, text))
    return Dataset(path=path, zarr_format=zarr_format, attributes=attributes, arrays=tuple(arrays), problems=tuple(problems))


def read_attributes(path: Place) -> Json:
    """The attributes of a group. Raises InputError where there is none, StoreUnavailableError."""
    return _read_group(path)[0]


def _read_group(path: Place) -> tuple[Json, int, Any]:
    """The attributes of a group, the Zarr version that it is laid out in, and the one that it states."""
    if isinstance(path, Path) and not path.is_dir() and not zipped_at(path):
        raise InputError(f"{'is not a folder' if path.exists() else 'is not there'}: name the folder of an OME-Zarr image", source=path)
    objects = objects_at(path)
    if (root := read_json(objects, path, "zarr.json")) is not None:
        zarr_format = 3
        if root.get("node_type") != "group":
            raise InputError("its zarr.json is not of a group: name the folder that holds the levels", source=path)
        attributes = root.get("attributes", {})
    elif (root := read_json(objects, path, ".zgroup")) is not None:
        attributes, zarr_format = read_json(objects, path, ".zattrs") or {}, 2
    else:
        if isinstance(path, Path) and (inside := next(iter(sorted(path.glob("*.zarr"))), None)):
            raise InputError(f"is no dataset but a folder of such: name one, as {inside.name}", source=path)
        raise InputError("has neither zarr.json nor .zgroup: it is no Zarr dataset, or its root metadata is lost", source=path)
    if not isinstance(attributes, dict):
        raise InputError("the attributes of its root are not a JSON object", source=path)
    return attributes, zarr_format, root.get("zarr_format")


def level_paths(ome: Json) -> list[str]:
    """The paths that `multiscales` names, as far as they stay below the root."""
    datasets = first_multiscale(ome).get("datasets")
    paths = [entry.get("path") for entry in datasets if isinstance(entry, dict)] if isinstance(datasets, list) else []
    return [path for path in paths if isinstance(path, str) and is_inside(path)]


def is_inside(path: str) -> bool:
    """Whether a level's path leads to a place below the root."""
    return bool(path) and not path.startswith("/") and "\0" not in path and not {".", ".."} & set(path.split("/"))


def read_json(objects: Objects, root: Place, key: str) -> Json | None:
    """A JSON object among the objects below `root`; None where there is none. Raises InputError, StoreUnavailableError."""
    try:
        found = json.loads(objects.get(key))
    except FileNotFoundError:
        return None
    except OSError as error:
        refuse_silence(error)
        raise InputError(f"cannot be read: {error.strerror}", source=root / key) from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not JSON: {error}", source=root / key) from None
    if not isinstance(found, dict):
        raise InputError("is not a JSON object", source=root / key)
    return found


def _read_array(objects: Objects, root: Place, path: str, zarr_format: int) -> Array:
    name = "zarr.json" if zarr_format == 3 else ".zarray"
    found = read_json(objects, root, f"{path}/{name}")
    if found is None:
        raise InputError(f"{name} is not there")
    return array_of(path, found, zarr_format)
