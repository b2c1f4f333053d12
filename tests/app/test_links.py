"""Links in INPUT_DIR that lead nowhere: each is one failed input, the others are converted."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from omezarr_proc import cli


@pytest.mark.parametrize("flags", [(), ("--dry-run",)])
def test_looping_links_fail_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...]) -> None:
    scans = tmp_path / "in"
    scans.mkdir()
    tifffile.imwrite(scans / "z.tif", np.zeros((20, 30), np.uint8))
    (scans / "itself.tif").symlink_to("itself.tif")
    (scans / "there.tif").symlink_to("back.tif")
    (scans / "back.tif").symlink_to("there.tif")
    (scans / "folder").symlink_to("folder")
    assert cli.main(["--input-dir", str(scans), "--output-dir", str(tmp_path / "out"), *flags]) == 1
    output = capsys.readouterr()
    text = output.out + output.err
    for name in ("itself.tif", "there.tif", "back.tif"):
        assert f"{scans / name}: cannot be read: Too many levels of symbolic links" in text
    assert "Traceback" not in text
    assert flags or (tmp_path / "out/z.ome.zarr/zarr.json").exists()


def test_a_member_of_a_set_is_known_through_a_link(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scans = tmp_path / "in"
    scans.mkdir()
    tifffile.imwrite(scans / "a.tif", np.zeros((20, 30), np.uint8))
    (scans / "b.tif").symlink_to("a.tif")
    assert cli.main(["--input-dir", str(scans), "--output-dir", str(tmp_path / "out")]) == 0
    assert f"{scans / 'b.tif'}: is part of {scans / 'a.tif'}" in capsys.readouterr().err
