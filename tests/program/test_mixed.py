"""A file of several images of which one is not supported: only that one fails."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from conversion import convert

from omezarr_proc import cli
from omezarr_proc.model.errors import InputError
from omezarr_proc.tiff.describe.images import open_images


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    path = tmp_path / "in/a.tif"
    path.parent.mkdir()
    with tifffile.TiffWriter(path) as writer:
        for side, dtype in ((20, np.uint8), (24, np.complex64), (28, np.uint16)):
            writer.write(np.ones((side, side), dtype), photometric="minisblack", metadata=None)
    return path


def test_the_others_are_converted(mixed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = mixed.parents[1] / "out"
    assert convert(mixed, out) == 1
    assert sorted(path.name for path in out.iterdir()) == ["a.ome.zarr", "a.series2.ome.zarr"]
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "ERROR" in line]
    assert f"{mixed}: page 1 cannot be read: complex numbers" in line


def test_images_that_are_not_asked_for_fail_nothing(mixed: Path) -> None:
    out = mixed.parents[1] / "out"
    assert convert(mixed, out, "--images", "0,2") == 0
    assert convert(mixed, out, "--images", "1") == 1


def test_dry_run_and_info_tell_of_it(mixed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([str(mixed), "--output-dir", str(mixed.parent), "--dry-run"]) == 1
    said = capsys.readouterr().out
    assert "a.series2.ome.zarr" in said
    assert "page 1 cannot be read" in said
    assert cli.main(["info", str(mixed)]) == 0
    said = capsys.readouterr().out
    assert "image 2" in said
    assert "page 1 cannot be read" in said


def test_who_does_not_ask_for_the_others_gets_the_error(mixed: Path) -> None:
    with pytest.raises(InputError, match="page 1"):
        open_images(str(mixed))
    found = open_images(str(mixed), refused=(refused := []))
    assert [image.series for image in found] == [0, 2]
    assert len(refused) == 1
