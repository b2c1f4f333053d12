"""A certificate beside a finished dataset: digests of the files it was made of, of the pixels of these and of its own, of its objects.

In the dataset is the same as RO-Crate metadata.

Beside `a.ome.zarr` it is `a.ome.zarr.certificate.json`, and `a.ome.zarr.sha256` lists the objects as `sha256sum -c` takes them; in a
folder that is a dataset itself, `ome.zarr.certificate.json` and `ome.zarr.sha256`. What each digest is of: `docs/certificate.md`.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import PurePath
from typing import Any

from omezarr_proc import __version__
from omezarr_proc.build.certified import certificate_path, list_path
from omezarr_proc.build.crate import CRATE, PROGRAM, crate
from omezarr_proc.build.dataset import pyramid_of
from omezarr_proc.build.means import Means
from omezarr_proc.build.taken import Taken
from omezarr_proc.build.through import read_through, with_plans
from omezarr_proc.check.digests import level_digest, object_digests
from omezarr_proc.host.store_errors import store_error
from omezarr_proc.model.address import Place
from omezarr_proc.model.errors import DifferentOutputError, InputError
from omezarr_proc.model.image import FileState, Image
from omezarr_proc.model.region import AXES
from omezarr_proc.pixels.digests import BLOCK, Digests
from omezarr_proc.plan.plan import Plan
from omezarr_proc.store.chunks import ChunkStore
from omezarr_proc.store.codec import codec_for, without_threads
from omezarr_proc.store.objects import InMemory
from omezarr_proc.store.places import objects_at, put_at
from omezarr_proc.store.read import Dataset, open_dataset, read_json
from omezarr_proc.store.zarr_array import Array
from omezarr_proc.tiff.file.bytes import open_bytes
from omezarr_proc.tiff.file.changes import changed
from omezarr_proc.work.replies import Hashed, Reply
from omezarr_proc.work.tasks import Hash, Job, Loose

_PIECE = 1 << 22  # bytes of a file that are read at once
_TAKEN = ("IMAGES", "PLATES", "SEQUENCE", "CROP_REGION", "CROP_CHANNELS", "CROP_Z", "CROP_T", "COLOR", "SHARDING", "NGFF_VERSION")
_FIELD_PARTS = 3  # of the path of a field in a plate: row, column, number
_MADE_WITH = ("numcodecs", "imagecodecs", "numpy")


@dataclass(frozen=True, kw_only=True)
class Certifier:
    """Makes the certificate of a dataset that is published.

    target    see `hidden.inside`; `dataset`: where it is
    key       the dataset's
    states    of the files that it was made of
    images    what it was made of: an image, by the path ""; the fields of a plate by theirs
    taken     of each image what was taken while it was converted
    verified  whether it was compared with its source
    """

    target: Place
    dataset: Place
    key: str
    states: tuple[FileState, ...]
    images: Mapping[str, Image]
    taken: Mapping[str, Taken | None]
    means: Means
    verified: bool

    def write(self) -> None:
        """Write both files, the certificate last. Raises ProcError; then what was there before is there still.

        Raises DifferentOutputError where a level 0 of full resolution has not the pixels of its source, or an object is not as it was made.
        """
        root = open_dataset(self.dataset)
        with ThreadPoolExecutor(max(1, round(self.means.limits.cpus))) as threads, without_threads():
            files = [_of_file(state) for state in sorted(self.states, key=lambda state: state.path)]
            images = [self._of_image(path, image, threads) for path, image in self.images.items()]
            if error := changed(self.states):
                error.hint = "no certificate is written; run it again when it is complete"
                raise error
            listed, total = self._list(root, threads)
        objects = {
            "list": list_path(self.target).name,
            "count": listed.count(b"\n"),
            "bytes": total,
            "sha256": hashlib.sha256(listed).hexdigest(),
        }
        found = {
            "certificate": 1,
            "dataset": self.dataset.name if self.target == self.dataset else ".",
            "key": self.key,
            "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "software": {"omezarr_proc": __version__, **{name: version(name) for name in _MADE_WITH}},
            "settings": self._settings(),
            "verified": self.verified,
            "pixels": {"digest": "sha256", "block": [BLOCK, BLOCK], "byte_order": "little", "planes": "t, c, z"},
            "sources": files,
            "images": images,
            "objects": objects,
        }
        self._put_crate(found)
        put_at(list_path(self.target), listed, "list of digests")
        put_at(certificate_path(self.target), json.dumps(found, indent=1).encode() + b"\n", "certificate")

    def _settings(self) -> dict[str, Any]:
        """Those that say what was made of what: no path, no token."""
        stated = self.means.settings.public()
        return self.means.settings.output_shaping() | {name.lower(): stated[name] for name in _TAKEN if stated[name]}

    def _put_crate(self, certificate: Mapping[str, Any]) -> None:
        """Describe the dataset in it; what others have written there stays. Raises OutputError."""
        place = self.dataset / CRATE
        try:
            there = read_json(objects_at(self.dataset), self.dataset, CRATE)
        except InputError:
            return
        if there is None or any(entity.get("@id") == PROGRAM for entity in there.get("@graph", ()) if isinstance(entity, dict)):
            put_at(place, json.dumps(crate(certificate), indent=1).encode() + b"\n", "RO-Crate metadata")

    def _of_image(self, path: str, image: Image, threads: ThreadPoolExecutor) -> dict[str, Any]:
        taken = self.taken[path]
        source = {"image": image.series, "name": image.name, **source_digests(image, self.means, taken.source if taken else None)}
        self.means.engine.rest()
        dataset = open_dataset(self.dataset / path if path else self.dataset)
        on_the_way = taken.levels if taken else [None] * len(dataset.arrays)
        levels = [_of_level(dataset, array, found, threads) for array, found in zip(dataset.arrays, on_the_way, strict=True)]
        sizes = dict(zip(dataset.axes, levels[0]["shape"], strict=True))
        is_whole = all(sizes.get(axis, 1) == size for axis, size in source["shape"].items())
        if is_whole and levels[0]["sha256"] != source["sha256"]:
            raise DifferentOutputError(
                "level 0 has not the pixels of the input: no certificate is written",
                source=dataset.path,
                hint="`omezarr-proc verify` says where; EXISTING=force makes it anew",
            )
        return {"path": path, "source": source, "levels": levels}

    def _checksum(self, key: str) -> bytes | None:
        """Of an object, when it was encoded, where that is known."""
        parts = key.split("/")
        depth = 0 if "" in self.taken else _FIELD_PARTS
        taken = self.taken.get("/".join(parts[:depth]))
        return taken.checksum("/".join(parts[depth:])) if taken else None

    def _list(self, root: Dataset, threads: ThreadPoolExecutor) -> tuple[bytes, int]:
        """The list of all objects, named as the folder that it lies in has them, and their bytes."""
        inside = self.target != self.dataset
        before = "" if inside else f"{self.dataset.name}/"
        lines, total, made = [], 0, 0
        try:
            for key, digest, size in object_digests(root, self._checksum, shared=inside, threads=threads):
                lines.append(_listed(digest, f"{before}{key}"))
                total += size
                made += self._checksum(key) is not None
        except OSError as error:
            raise store_error("cannot be read", error, self.dataset) from error
        if made != sum(taken.objects for taken in self.taken.values() if taken):
            raise DifferentOutputError("objects that were made are missing: no certificate is written", source=self.dataset)
        return b"".join(lines), total


def source_digests(image: Image, means: Means, taken: Digests | None) -> dict[str, Any]:
    """What a source's pixels are as they are read, and the digests of its planes. Raises ProcError as reading them does.

    taken  digests of its blocks that are there already; what these lack is read
    """
    found = taken or Digests(image.source_shape)
    if not found.complete:
        _read(image, means, found)
    shape = dict(zip(AXES, image.source_shape, strict=True))
    stored = {"reduced_by": image.reduced_by} if image.reduced_by > 1 else {}
    part = {"origin": dict(image.origin)} if image.origin else {}
    return {"shape": shape, **stored, **part, "dtype": image.stored_dtype, "sha256": found.image(), "planes": found.planes()}


def _read(image: Image, means: Means, found: Digests) -> None:
    """Read what of an image the digests lack, by the workers."""
    whole = replace(
        means.settings,
        initial_downsample=image.reduced_by,
        tile_size=BLOCK,
        z_chunk=1,
        channel_chunking="per-channel",
        max_levels=1,
        sharding="off",
        z_downsample="none",
        max_chunks=1 << 50,  # the ceiling is for those that are stored
    )
    pyramid = pyramid_of(image, whole)
    store = ChunkStore(InMemory(), pyramid, codec_for(pyramid.dtype, whole.compression, whole.compression_level))

    def note(task: Loose, reply: Reply) -> None:
        if isinstance(reply, Hashed):
            for digest in reply.digests:
                found.add(digest)

    def read(plan: Plan, spool: int | None) -> None:
        lenient = means.settings.on_corrupt == "warn"
        means.engine.begin(Job(replace(image, ome_xml=None), store, "mean", plan.access, lenient), plan, spool)
        read_through(means.engine, pyramid, plan, Hash, note, found.lacks)

    with_plans(image, pyramid, means.limits, read)


def _of_level(dataset: Dataset, array: Array, taken: Digests | None, threads: ThreadPoolExecutor) -> dict[str, Any]:
    digest = taken.image() if taken and taken.complete else level_digest(dataset, array, threads)
    return {"path": array.path, "shape": list(array.shape), "dtype": array.dtype, "sha256": digest}


def _of_file(state: FileState) -> dict[str, Any]:
    """Name, bytes and digest of an input. Raises InputError, StoreUnavailableError."""
    digest = hashlib.sha256()
    try:
        file = open_bytes(state.path, state)
        try:
            for offset in range(0, file.size, _PIECE):
                digest.update(file.read([(offset, _PIECE)])[0])
        finally:
            file.close()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", source=state.path) from error
    return {"name": PurePath(state.path).name, "bytes": state.size, "sha256": digest.hexdigest()}


def _listed(digest: str, name: str) -> bytes:
    """A line as `sha256sum` writes it: names with a backslash or a line's end are escaped, and the line begins with a backslash."""
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    mark = "\\" if escaped != name else ""
    return os.fsencode(f"{mark}{digest}  {escaped}\n")
