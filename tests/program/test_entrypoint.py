"""What the image starts: which program, and as whom. A python that only tells who it is stands in for the real one."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from runs import ROOT, needs_root

from omezarr_proc.config.settings import table

TELLING = """#!/bin/sh
printf '%s\\n' "$$ $(id -u):$(id -g) $(id -G | tr ' ' ,) $HOME $(sed -n 's/^NoNewPrivs:\\t//p' /proc/self/status)" "$@"
"""
WITHOUT_SETUID = ("setpriv", "--bounding-set", "-setuid,-setgid")

needs_setpriv = pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is not installed")


@dataclass
class Started:
    """What the stand-in said: which process it is, its user and group, its groups, its home, whether it can gain privileges, its words."""

    process: bool
    user: str
    groups: str
    home: str
    no_new_privileges: str
    words: list[str]


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user may enter, unlike tmp_path."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "python").write_text(TELLING)
        (folder / "python").chmod(0o755)
        yield folder


def owned(folder: Path, user: int, group: int) -> Path:
    folder.mkdir(mode=0o700)
    os.chown(folder, user, group)
    return folder


def start(place: Path, *words: object, before: tuple[str, ...] = (), status: int = 0, **environment: object) -> tuple[Started | None, str]:
    process = subprocess.Popen(
        [*before, "/bin/sh", ROOT / "entrypoint.sh", *map(str, words)],
        env={"PATH": f"{place}:{os.defpath}", "HOME": "/tmp"} | {name: str(value) for name, value in environment.items()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=place,
    )
    output, errors = process.communicate(timeout=30)
    assert process.returncode == status, errors
    if status:
        return None, errors
    first, *said = output.splitlines()
    pid, *who = first.split()
    return Started(int(pid) == process.pid, *who, words=said), errors


def started(place: Path, *words: object, **environment: object) -> Started:
    found, errors = start(place, *words, **environment)
    assert found is not None
    assert found.process, "the shell must exec, or signals do not reach python"
    assert not errors
    return found


COMMAND = ["-m", "omezarr_proc"]
LAMBDA = ["-m", "awslambdaric", "omezarr_proc.handler.handler"]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, [*COMMAND, "a", "b c.tif"]),
        ({"AWS_LAMBDA_RUNTIME_API": ""}, [*COMMAND, "a", "b c.tif"]),
        ({"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001"}, LAMBDA),
    ],
)
def test_it_becomes_the_program_of_its_surroundings(place: Path, environment: dict[str, str], expected: list[str]) -> None:
    assert started(place, "a", "b c.tif", **environment).words == expected


@needs_root
@needs_setpriv
@pytest.mark.parametrize(
    ("owner", "expected"), [((1001, 1002), "1001:1002"), ((1001, 0), "1001:1001"), ((0, 1002), "0:0"), ((0, 0), "0:0")]
)
def test_root_becomes_the_owner_of_output_dir(place: Path, owner: tuple[int, int], expected: str) -> None:
    """Also root's groups are left, and root's group even where the folder is of that group."""
    found = started(place, "x y", OUTPUT_DIR=owned(place / "a b", *owner))
    assert found.user == expected
    assert found.words == [*COMMAND, "x y"]
    assert found.home == "/tmp"
    if expected != "0:0":
        assert found.groups == expected.partition(":")[2]
        assert found.no_new_privileges == "1"


@needs_root
@needs_setpriv
def test_the_flag_counts_as_it_does_for_the_program(place: Path) -> None:
    theirs, roots = owned(place / "theirs", 1001, 1001), owned(place / "roots", 0, 0)
    assert started(place, "a.tif", "--output-dir", theirs, OUTPUT_DIR=roots).user == "1001:1001"
    assert started(place, f"--output-dir={theirs}", OUTPUT_DIR=roots).user == "1001:1001"
    assert started(place, "--output-dir", roots, "a.tif", OUTPUT_DIR=theirs).user == "0:0"
    assert started(place, "--", "--output-dir", theirs, OUTPUT_DIR=roots).user == "0:0"
    assert started(place, "--output-dir", "", OUTPUT_DIR=roots).user == "0:0"
    assert started(place, "a.tif", "-o", theirs / "a.ome.zarr", OUTPUT_DIR=roots).user == "1001:1001"
    assert started(place, f"-o{theirs}", "a.tif").user == "1001:1001"
    assert started(place, "info", "a.tif").user == "0:0"


@needs_root
@needs_setpriv
def test_a_second_word_counts_as_it_does_for_the_program(place: Path) -> None:
    theirs, roots = owned(place / "theirs", 1001, 1001), owned(place / "roots", 0, 0)
    (place / "b.tif").touch()
    assert started(place, "a.tif", theirs, OUTPUT_DIR=roots).user == "1001:1001"
    assert started(place, "--quiet", "a.tif", "--tile-size", "512", theirs / "new").user == "1001:1001"
    valueless = {entry.flag for entry in table() if entry.rule.switch} | {"--quiet", "--verbose", "--dry-run"}
    for flag in valueless:
        assert started(place, flag, "a.tif", theirs).user == "1001:1001", flag
    assert started(place, "a.tif", theirs, "--output-dir", roots).user == "0:0"
    assert started(place, "a.tif", "b.tif", OUTPUT_DIR=theirs).user == "1001:1001"
    assert started(place, "a.tif", "b.tif", theirs, OUTPUT_DIR=roots).user == "0:0"


@needs_root
@needs_setpriv
def test_an_output_dir_that_is_not_there_yet_is_made_by_the_owner_of_where(place: Path) -> None:
    volume = owned(place / "volume", 1001, 1002)
    assert started(place, OUTPUT_DIR=volume / "not/there yet").user == "1001:1002"
    assert started(place, OUTPUT_DIR=place / "not/there").user == "0:0"
    assert started(place, OUTPUT_DIR="volume/-").user == "1001:1002"
    assert started(place, OUTPUT_DIR="-c/x").user == "0:0"
    (place / "link").symlink_to(volume)
    assert started(place, OUTPUT_DIR=place / "link").user == "1001:1002"
    (place / "file").touch()
    assert started(place, OUTPUT_DIR=place / "file/x").user == "0:0"


@needs_root
@needs_setpriv
def test_where_output_dir_is_in_an_object_store_root_becomes_nobody(place: Path) -> None:
    for words, environment in (((), {"OUTPUT_DIR": "s3://bucket/folder"}), (("--output-dir=az://c",), {"OUTPUT_DIR": str(place)})):
        found = started(place, *words, **environment)
        assert (found.user, found.groups, found.no_new_privileges) == ("65534:65534", "65534", "1")
    (place / "s3:").mkdir()
    assert started(place, OUTPUT_DIR=owned(place / "s3:/bucket", 1001, 1001)).user == "1001:1001"
    _, errors = start(place, before=WITHOUT_SETUID, status=2, OUTPUT_DIR="s3://bucket/folder")
    assert "root cannot become 65534:65534, which needs no rights for s3://bucket/folder: start with --user 65534:65534" in errors


@needs_root
@needs_setpriv
def test_whoever_was_chosen_is_left_alone(place: Path) -> None:
    volume = owned(place / "volume", 1001, 1001)
    as_another = ("setpriv", "--reuid", "1000", "--regid", "1003", "--groups", "1003,7")
    found, _ = start(place, before=as_another, OUTPUT_DIR=volume)
    assert found is not None
    assert (found.process, found.user, found.groups) == (True, "1000:1003", "1003,7")


@needs_root
@needs_setpriv
def test_in_lambda_nobody_is_changed(place: Path) -> None:
    found = started(place, OUTPUT_DIR=owned(place / "volume", 1001, 1001), AWS_LAMBDA_RUNTIME_API="127.0.0.1:9001")
    assert (found.user, found.words) == ("0:0", LAMBDA)


@needs_root
@needs_setpriv
def test_root_that_may_not_become_another_does_not_go_on_as_root(place: Path) -> None:
    _, errors = start(place, before=WITHOUT_SETUID, status=2, OUTPUT_DIR=owned(place / "theirs", 1001, 1002))
    assert errors.splitlines()[-1].startswith("omezarr-proc: root cannot become 1001:1002, who owns ")
    assert "--user 1001:1002" in errors
    found, _ = start(place, before=WITHOUT_SETUID, OUTPUT_DIR=owned(place / "roots", 0, 0))
    assert found is not None
    assert found.user == "0:0"
