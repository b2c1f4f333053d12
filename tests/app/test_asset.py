"""asset-properties.json, as ts-zarr-py writes it: one object, `root_path`, a line break at its end."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from omezarr_proc import cli


def run(folder: Path, output: Path, *flags: str) -> int:
    return cli.main(["--input-dir", str(folder), "--output-dir", str(output), "--asset-properties", *flags])


def test_it_names_the_dataset_of_the_run_also_where_that_was_there_already(tmp_path: Path) -> None:
    (tmp_path / "in/sub").mkdir(parents=True)
    tifffile.imwrite(tmp_path / "in/sub/a.tif", np.zeros((100, 100), "uint8"))
    output = tmp_path / "out"
    for _ in range(2):
        assert run(tmp_path / "in", output, "--quiet") == 0
        assert (output / "asset-properties.json").read_text() == '{"root_path": "sub/a.ome.zarr"}\n'
        (output / "asset-properties.json").write_text("another run's")
    assert sorted(path.name for path in output.iterdir()) == ["asset-properties.json", "sub"]


def test_of_several_datasets_it_names_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    for name in "ab":
        tifffile.imwrite(tmp_path / f"in/{name}.tif", np.zeros((100, 100), "uint8"))
    assert run(tmp_path / "in", tmp_path / "out", "--quiet") == 0
    assert "no asset-properties.json is written: it is of one dataset, and there are 2" in capsys.readouterr().err
    assert not (tmp_path / "out/asset-properties.json").exists()
    (tmp_path / "in/a.tif").write_bytes(b"II*\0")
    assert run(tmp_path / "in", tmp_path / "out", "--quiet") == 1  # b is there, and a failed
    assert '"b.ome.zarr"' in (tmp_path / "out/asset-properties.json").read_text()
