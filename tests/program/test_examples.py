"""The examples do what they say: run as they stand, on the sample images."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from runs import ROOT

EXAMPLES = ROOT / "examples"
PROGRAM = f'#!/bin/sh\nexec "{sys.executable}" -m omezarr_proc "$@"\n'
# Stands in for napari and dask, which the tests do not install: says what it was given.
NAPARI = """
import sys, types
class Viewer:
    scale_bar = types.SimpleNamespace()
    def add_image(self, levels, **how):
        print([level.shape for level in levels], how["channel_axis"], how["scale"], how["name"], how["colormap"], how["visible"])
napari = types.ModuleType("napari")
napari.Viewer, napari.run = Viewer, lambda: print(Viewer.scale_bar.unit)
dask, array = types.ModuleType("dask"), types.ModuleType("dask.array")
dask.array, array.from_zarr = array, lambda found: found
sys.modules |= {"napari": napari, "dask": dask, "dask.array": array}
"""


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/omezarr-proc").write_text(PROGRAM)
    (tmp_path / "bin/omezarr-proc").chmod(0o755)
    pixels = np.arange(2 * 1200 * 300, dtype="uint16").reshape(2, 1200, 300)
    folder = tmp_path / "scans"
    folder.mkdir()
    metadata = {"axes": "CYX", "Channel": {"Name": ["DAPI", "GFP"]}, "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    tifffile.imwrite(folder / "a.ome.tif", pixels, photometric="minisblack", metadata=metadata)
    return folder


def run(scans: Path, *command: object) -> str:
    environ = os.environ | {"PATH": f"{scans.parent / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, env=environ, cwd=scans.parent, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_each_script_is_listed() -> None:
    names = {path.name for path in EXAMPLES.iterdir()} - {"README.md", "__pycache__"}
    text = (EXAMPLES / "README.md").read_text()
    assert all(f"[{name}]({name})" in text for name in names) and len(names) == 5


def test_a_folder_then_zarr_then_napari(scans: Path) -> None:
    dataset = scans.parent / "pyramids/a.ome.zarr"
    assert f"{dataset}: ok" in run(scans, EXAMPLES / "folder.sh", scans, scans.parent / "pyramids")
    text = run(scans, sys.executable, EXAMPLES / "read_with_zarr.py", dataset)
    assert "level 0: {'c': 2, 'y': 1200, 'x': 300}, a pixel is {'c': 1.0, 'y': 0.5, 'x': 0.5}" in text
    assert "the first channel in 600 x 150 pixels: " in text
    begin = f"import runpy\nsys.argv = ['in_napari.py', {str(dataset)!r}]\n"
    code = f"{NAPARI}\n{begin}runpy.run_path({str(EXAMPLES / 'in_napari.py')!r}, run_name='__main__')"
    shown, unit = run(scans, sys.executable, "-c", code).splitlines()
    assert shown.startswith("[(2, 1200, 300), (2, 600, 150)") and "0 [0.5, 0.5] ['DAPI', 'GFP']" in shown
    assert unit == "micrometer"


def test_a_call(scans: Path) -> None:
    text = run(scans, sys.executable, EXAMPLES / "call.py", scans, scans.parent / "pyramids")
    assert "100 %" in text
    assert text.splitlines()[-1].endswith("a.ome.zarr: converted")


def test_in_a_browser(scans: Path) -> None:
    assert "usage: omezarr-proc" in run(scans, EXAMPLES / "in_browser.sh", "--help")
