"""Every field of a dataset's metadata changed, and every way a chunk can be another: each is found, or is harmless for a stated reason.

Both forms of Zarr v3's metadata are changed alike, since a change of one alone is found by their difference. What is harmless here misleads
no reader about pixels, their places or their look; that a name or a colour is not the source's, `verify` finds.
"""

import copy
import json
import random
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import made

from omezarr_proc.check.verdict import judge
from omezarr_proc.store.codec import Codec
from omezarr_proc.store.read import open_dataset

DELETED = object()
Steps = tuple[str | int, ...]

# (file, place and change as a pattern, why nobody is misled)
BY_VERIFY = "right by itself; that it is not what the source says, verify finds"
HARMLESS = [
    ("root", r"attributes\.omezarr_proc.*|omezarr_proc.*", "what made it is not what it is: without it the dataset is one by others"),
    ("root", r"multiscales\.0\.metadata\.(description|method|version) .*", "free text for people"),
    ("root", r"multiscales\.0\.name another text|omero\.channels\.\d\.label another text", BY_VERIFY),
    ("root", r"multiscales\.0\.axes\.\d\.unit deleted", BY_VERIFY),
    ("root", r"omero\.channels\.\d\.(active flipped|inverted flipped|coefficient (one more|negative))", BY_VERIFY),
    ("root", r"omero\.channels\.\d\.window\.(end one more|start (one more|negative))", BY_VERIFY),
    ("root", r"omero\.rdefs\.defaultZ one more", BY_VERIFY),
    ("root", r"omero\.(id|name|version) .*", "readers take channels and rdefs of it, nothing else"),
    ("array", r"compressor\.(blocksize|clevel) one more|codecs\.1\.configuration\.(blocksize|clevel) one more",
     "each Blosc chunk says itself how it was made: what stands here counts for writing"),
    ("array", r"fill_value one more", "every chunk is written, so none is filled"),
    ("array of v2", r"fill_value null", "every chunk is written, so none is filled"),
    ("array", r"(filters|order|attributes|storage_transformers|chunk_key_encoding\.configuration(\.separator)?) deleted",
     "what is left out is what stood there"),
]  # fmt: skip


@dataclass(frozen=True)
class Mutation:
    """A field of a JSON file changed; of Zarr v3's root in both forms."""

    zarr_format: int
    file: str
    steps: Steps
    how: str
    new: Any

    def __str__(self) -> str:
        return f"v{self.zarr_format} {self.file} {'.'.join(map(str, self.steps))} {self.how}"

    def apply(self, dataset: Path) -> None:
        content = json.loads((dataset / self.file).read_text())
        forms = [content]
        if self.steps[0] in ("multiscales", "omero") and self.zarr_format == 3:
            forms = [content["attributes"], content["attributes"]["ome"]]
        for form in forms:
            put(form, self.steps, self.new)
        (dataset / self.file).write_text(json.dumps(content))


def put(content: Any, steps: Steps, new: Any) -> None:
    for step in steps[:-1]:
        content = content[step]
    if new is not DELETED:
        content[steps[-1]] = copy.deepcopy(new)
    elif isinstance(content, list) or steps[-1] in content:
        del content[steps[-1]]


def fields(value: Any, steps: Steps = ()) -> Iterator[tuple[Steps, Any]]:
    if steps:
        yield steps, value
    for key, entry in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from fields(entry, (*steps, key))


def others(value: Any) -> Iterator[tuple[str, Any]]:
    """What a field may become: nothing, another value of its type, and one of another type."""
    yield "deleted", DELETED
    if value is not None:
        yield "null", None
    match value:
        case bool():
            yield "flipped", not value
        case int() | float():
            yield from (("one more", value + 1), ("negative", -1 - value), ("text", str(value)))
        case str():
            yield from (("another text", f"{value}x"), ("number", 7))
        case [_, *_]:
            yield from (("shorter", value[:-1]), ("reversed", value[::-1]), ("longer", [value[0], *value]), ("object", {"a": 1}))
        case dict() if value:
            yield "list", list(value)


def of_metadata(zarr_format: int) -> Iterator[Mutation]:
    root, array = (".zattrs", ".zarray") if zarr_format == 2 else ("zarr.json", "zarr.json")
    for file in (root, f"1/{array}", *([".zgroup"] if zarr_format == 2 else [])):
        content = json.loads((made("stack", zarr_format) / file).read_text())
        if file == "zarr.json":
            content = content["attributes"] | {"zarr_format": 3, "node_type": "group"}
        for steps, value in fields(content):
            if steps[0] == "ome" and len(steps) > 2:
                continue  # changed with the other form
            at = ("attributes", *steps) if file == "zarr.json" and steps[0] in ("ome", "omezarr_proc") else steps
            for how, new in others(value):
                if new != value and not (how == "reversed" and value == value[::-1]):
                    yield Mutation(zarr_format, file, at, how, new)


METADATA = [mutation for zarr_format in (2, 3) for mutation in of_metadata(zarr_format)]


def harmless(mutation: Mutation) -> str | None:
    """Why a mutation need not be found."""
    file = "root" if mutation.file in ("zarr.json", ".zattrs", ".zgroup") else "array"
    text, kinds = f"{'.'.join(map(str, mutation.steps))} {mutation.how}", (file, f"{file} of v{mutation.zarr_format}")
    return next((why for kind, pattern, why in HARMLESS if kind in kinds and re.fullmatch(pattern, text)), None)


def mutated(mutation: Mutation, folder: Path) -> Path:
    """A dataset whose chunks are links to those of the one that nobody may change."""
    target = folder / "a.ome.zarr"
    source = made("stack", mutation.zarr_format)
    shutil.copytree(source, target, copy_function=lambda a, b: shutil.copy(a, b) if Path(a).name[0] in ".z" else Path(b).symlink_to(a))
    mutation.apply(target)
    return target


def verdict_is_right(mutation: Mutation, folder: Path) -> bool:
    """Whether it is found, or listed as harmless and not found; and the judge has not given up on it."""
    verdict = judge(mutated(mutation, folder), deep=True)
    return verdict.valid == (harmless(mutation) is not None) and "cannot be judged" not in str(verdict.error)


SAMPLE = random.Random(17).sample(METADATA, 40)


@pytest.mark.parametrize("mutation", SAMPLE, ids=str)
def test_a_changed_field_is_found(mutation: Mutation, tmp_path: Path) -> None:
    assert verdict_is_right(mutation, tmp_path)


@pytest.mark.slow
def test_every_changed_field_is_found(tmp_path: Path) -> None:
    assert len(METADATA) > 1000
    wrong = [str(mutation) for i, mutation in enumerate(METADATA) if not verdict_is_right(mutation, tmp_path / str(i))]
    assert wrong == []


def test_every_reason_is_one_for_something() -> None:
    reasons = {harmless(mutation) for mutation in METADATA}
    assert {why for *_, why in HARMLESS} <= reasons


CODEC = Codec(cname="zstd", clevel=5, shuffle="bitshuffle", typesize=2)
CHUNKS: dict[str, Callable[[bytes, bytes], bytes]] = {
    "empty": lambda chunk, other: b"",
    "one byte less": lambda chunk, other: chunk[:-1],
    "one byte more": lambda chunk, other: chunk + b"a",
    "of another size": lambda chunk, other: CODEC.encode(np.ones(9, "uint16")),
    "another one": lambda chunk, other: other,
    "text": lambda chunk, other: b"<Error>AccessDenied</Error>",
}


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("how", [*CHUNKS, "missing", "a folder", "a bit flipped"])
def test_each_changed_chunk_is_found(how: str, zarr_format: int, tmp_path: Path) -> None:
    """Of every level; a bit that is flipped somewhere in the chunk's bytes changes pixels, its head, or what Blosc takes."""
    source = made("stack", zarr_format)
    dataset = tmp_path / "a.ome.zarr"
    shutil.copytree(source, dataset)
    for array in open_dataset(source).arrays:
        chunk, other = (dataset / array.path / array.chunk_name((1, z, 0, 0)) for z in (1, 2))
        data = chunk.read_bytes()
        if how == "a bit flipped":
            at = len(data) * 2 // 3
            chunk.write_bytes(data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :])
        elif how in CHUNKS:
            chunk.write_bytes(CHUNKS[how](data, other.read_bytes()))
        else:
            chunk.unlink()
            if how == "a folder":
                chunk.mkdir()
        assert not judge(dataset, deep=True).valid
        shutil.rmtree(chunk) if chunk.is_dir() else chunk.unlink(missing_ok=True)
        chunk.write_bytes(data)
