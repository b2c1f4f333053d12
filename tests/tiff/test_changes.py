"""An input that changes while it is converted: nothing is published, the message names the file, the next run begins anew."""

import dataclasses
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from ome import SPACE, page, xml
from runs import digest
from tiffs import save

from omezarr_proc import cli
from omezarr_proc.build import image as conversion
from omezarr_proc.check import verdict
from omezarr_proc.model.errors import ChangedInputError, InputError
from omezarr_proc.tiff.describe.images import open_images
from omezarr_proc.tiff.file.bytes import identity_of
from omezarr_proc.tiff.file.changes import being_opened, changed


def write(path: Path, seed: int) -> None:
    """An uncompressed image: of every `seed` as many bytes, at the same places."""
    pixels = np.random.default_rng(seed).integers(0, 9000, (150, 200), np.uint16)
    tifffile.imwrite(path, pixels, rowsperstrip=10, metadata=None)


def rewrite(path: Path) -> None:
    write(path, 2)


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def replace(path: Path) -> None:
    """Another file of the same size and time."""
    before = path.stat()
    write(path.with_name("new"), 3)
    os.utime(path.with_name("new"), ns=(before.st_atime_ns, before.st_mtime_ns))
    path.with_name("new").rename(path)
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def once_before(name: str, action: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `action` happen when the conversion first calls a function: `pyramid_of`, or `refuse_wrong`, imported when it is needed."""
    where = verdict if name == "refuse_wrong" else conversion
    original = getattr(where, name)
    actions = [action]

    def called(*arguments: object) -> object:
        while actions:
            actions.pop()()
        return original(*arguments)

    monkeypatch.setattr(where, name, called)


@pytest.mark.parametrize(
    ("moment", "change", "said"),
    [
        ("refuse_wrong", rewrite, "was written to while it was read"),
        ("refuse_wrong", append, "has changed while it was read, from"),
        ("refuse_wrong", replace, "was replaced while it was read"),
        ("refuse_wrong", Path.unlink, "went away while it was read (No such file or directory)"),
        ("pyramid_of", cut, "has changed while it was read, from"),  # the reader finds segments outside the file
        ("pyramid_of", rewrite, "was written to while it was read"),
    ],
)
def test_nothing_is_published_and_the_next_run_begins_anew(
    tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch, moment: str, change: Callable[[Path], None], said: str
) -> None:
    source, out = tmp_path / "a.tif", tmp_path / "out"
    write(source, 1)
    once_before(moment, lambda: change(source), monkeypatch)
    assert cli.main([str(source), "--output-dir", str(out), "--quiet"]) == 75
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert f"{source}: {said}" in text
    assert os.listdir(out) == []

    if change in (rewrite, replace):  # the latter even has the same key
        assert cli.main([str(source), "--output-dir", str(out), "--quiet"]) == 0
        assert cli.main([str(source), "--output-dir", str(tmp_path / "undisturbed"), "--quiet"]) == 0
        assert digest(out) == digest(tmp_path / "undisturbed")


def test_a_link_new_permissions_or_another_number_alone_are_no_change(tmp_path: Path) -> None:
    source = tmp_path / "a.tif"
    write(source, 1)
    image = open_images(str(source))[0]
    assert image.states == (identity_of(str(source)),)
    os.link(source, tmp_path / "link")
    source.chmod(0o400)
    assert changed(image.states) is None
    shutil.copy2(source, tmp_path / "copy")
    copied = dataclasses.replace(identity_of(str(tmp_path / "copy")), path=str(source))
    assert changed([copied]) is not None  # another number and another time
    now = identity_of(str(source))
    assert changed([dataclasses.replace(now, inode=now.inode + 1)]) is None


@pytest.mark.parametrize("changing", ["x.companion.ome", "b.ome.tif"])
def test_every_file_of_a_set_counts_also_its_companion(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch, changing: str) -> None:
    names = ["a.ome.tif", "b.ome.tif"]
    (tmp_path / "x.companion.ome").write_text(xml(7, names))
    for number, name in enumerate(names):
        text = f'<OME {SPACE} UUID="urn:uuid:u{number}"><BinaryOnly MetadataFile="x.companion.ome" UUID="urn:uuid:u7"/></OME>'
        save(tmp_path / name, page(number, text))
    once_before("refuse_wrong", lambda: append(tmp_path / changing), monkeypatch)
    out = tmp_path / "out"
    assert cli.main([str(tmp_path / "a.ome.tif"), "--output-dir", str(out), "--quiet"]) == 75
    assert f"{tmp_path / changing}: has changed while it was read" in capsys.readouterr().err
    assert os.listdir(out) == []


def opened_wrongly(path: Path, meanwhile: Callable[[Path], None] = lambda _: None) -> None:
    with being_opened(path):
        meanwhile(path)
        raise InputError("is cut off", source=path)


def test_what_is_wrong_with_a_file_that_grows_is_that_it_is_not_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.tif"
    write(path, 1)
    size = path.stat().st_size
    with pytest.raises(ChangedInputError, match=f"a.tif: has changed while it was read, from {size} to {size + 4} bytes; run it again"):
        opened_wrongly(path, append)
    monkeypatch.setattr(time, "sleep", lambda _: append(path))
    with pytest.raises(
        ChangedInputError, match=f"from {size + 4} to {size + 8} bytes"
    ):  # nothing came while it was opened, but a moment later
        opened_wrongly(path)


def test_a_file_that_lies_there_as_it_is_is_wrong_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, slept = tmp_path / "a.tif", list[float]()
    write(path, 1)
    monkeypatch.setattr(time, "sleep", slept.append)
    with pytest.raises(InputError, match="is cut off"):
        opened_wrongly(path)
    assert len(slept) == 1
    os.utime(path, (1, 1))
    with pytest.raises(InputError, match="is cut off"):
        opened_wrongly(path)
    assert len(slept) == 1  # nobody has written to it lately: there is nothing to wait for
