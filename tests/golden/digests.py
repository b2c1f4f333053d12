"""One digest for each dataset: every path and every byte below it, but for the program's version."""

import hashlib
import importlib.metadata
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from runs import DYING_COMMAND, run

import omezarr_proc
from tests.golden import inputs
from tests.golden.groups import GROUPS, Group

FILE = Path(__file__).with_name("digests.json")
SHAPING = ("imagecodecs", "numcodecs", "tifffile", "zarr")  # they write the inputs, the chunks and the metadata
METADATA = ("zarr.json", ".zattrs")


@dataclass(frozen=True)
class Case:
    """A group with one of its plans."""

    group: Group
    plan: tuple[str, ...]
    slow: bool

    def __str__(self) -> str:
        """As it is called in a list of tests."""
        return " ".join((self.group.name, *self.plan))


CASES = tuple(Case(group, plan, plan in group.slow) for group in GROUPS for plan in (*group.plans, *group.slow))


def versions() -> dict[str, str]:
    """Return the versions of whatever shapes bytes and is not this program."""
    return {name: importlib.metadata.version(name) for name in SHAPING}


def digest(dataset: Path) -> str:
    """Return the digest of a whole tree. Metadata count without the version of this program."""
    total = hashlib.sha256()
    for path in sorted(path for path in dataset.rglob("*") if path.is_file()):
        data = path.read_bytes()
        if path.name in METADATA:
            data = data.replace(json.dumps(omezarr_proc.__version__).encode(), b'""')
        name = str(path.relative_to(dataset))
        total.update(f"{name} {hashlib.sha256(data).hexdigest()}\n".encode())
    return total.hexdigest()


def convert(case: Case, folder: Path) -> dict[str, str]:
    """Convert a group into a new folder: the digest of each dataset by its name."""
    files = inputs.make(case.group.inputs, folder)
    flags = (*case.group.flags, *case.plan)
    if case.group.dies:
        for file in files:
            status, text = run(file, "--output-dir", folder / "out", *flags, command=DYING_COMMAND)
            assert status == -signal.SIGKILL, text
    return datasets(files, folder / "out", flags)


def datasets(files: Iterable[Path], out: Path, flags: Sequence[str]) -> dict[str, str]:
    """Run the program once over the files: the digest of each dataset by its name. Nothing else may be left."""
    status, text = run(*files, "--output-dir", out, *flags)
    assert status == 0, text
    return {name.removesuffix(".ome.zarr"): digest(out / name) for name in sorted(os.listdir(out))}


def convert_all(cases: Sequence[Case], folder: Path) -> dict[Case, dict[str, str]]:
    """Convert them side by side, since much of a short run is its start."""

    def one(number: int) -> dict[str, str]:
        place = folder / str(number)
        place.mkdir()
        try:
            return convert(cases[number], place)
        finally:
            shutil.rmtree(place)

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(cases, pool.map(one, range(len(cases))), strict=True))


def save(file: Path, found: object) -> None:
    """Write digests, and the versions that they hold for."""
    file.write_text(json.dumps({"versions": versions(), "digests": found}, indent=1, sort_keys=True) + "\n")
    print(f"written: {file}")


def load(file: Path) -> Any:
    """Return the digests of a file. Skips the test where they hold for other versions of the libraries."""
    known = json.loads(file.read_text())
    if known["versions"] != versions():
        pytest.skip(f"{file.name} holds for {known['versions']}, here are {versions()}")
    return known["digests"]


def write() -> None:
    """Make the file of digests; the plans of a group must agree."""
    found: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for case, made in convert_all(CASES, Path(folder)).items():
            assert found.setdefault(case.group.name, made) == made, f"{case}: another plan makes other bytes"
    save(FILE, found)
