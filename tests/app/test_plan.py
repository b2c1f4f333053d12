"""`--dry-run` of a batch: what all of it will cost, against what the run then makes; and a run says which of how many it is at."""

import re
from pathlib import Path

import numpy as np
import pytest
import tifffile

from omezarr_proc import cli


def test_the_totals_of_a_batch_are_those_of_its_datasets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, shape in (("a", (600, 500)), ("b", (3, 700, 400))):
        tifffile.imwrite(tmp_path / f"{name}.tif", np.zeros(shape, "uint16"), photometric="minisblack")
    words = ["--input-dir", str(tmp_path), "--output-dir", str(tmp_path / "out"), "--tile-size", "64"]
    assert cli.main([*words, "--dry-run"]) == 0
    *_, last = capsys.readouterr().out.splitlines()
    found = re.fullmatch(r"all 2 datasets: 1\.14 Mpx to read; (\d+) objects, (\S+ \S+) before compression", last)
    assert found, last
    assert cli.main(words) == 0
    text = capsys.readouterr().err
    assert int(found[1]) == sum(path.is_file() for path in (tmp_path / "out").rglob("*"))
    assert "1 of 2, " in text and "2 of 2, " in text


def test_the_totals_say_how_many_would_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in "abc":
        tifffile.imwrite(tmp_path / f"{name}.tif", np.zeros((60, 50), "uint16"))
    (tmp_path / "c.tif").write_bytes(b"none")
    assert cli.main([str(tmp_path), str(tmp_path / "out"), "--dry-run"]) == 1
    *lines, last = capsys.readouterr().out.splitlines()
    assert last.startswith("all 2 datasets: ") and last.endswith("; 1 would fail")
    assert any("1 chunk, " in line for line in lines) and any(", 1 band in 1 pass, " in line for line in lines)


def test_one_image_has_no_totals_and_no_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((60, 50), "uint16"))
    assert cli.main([str(tmp_path / "a.tif"), str(tmp_path / "out"), "--dry-run"]) == 0
    assert "all 1" not in capsys.readouterr().out
    assert cli.main([str(tmp_path / "a.tif"), str(tmp_path / "out")]) == 0
    assert "1 of 1" not in capsys.readouterr().err
