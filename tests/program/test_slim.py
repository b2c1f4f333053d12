"""The image's smaller imagecodecs: a copy of it is made smaller, and still has a decoder for every compression that the whole one has."""

import shutil
import subprocess
import sys
from pathlib import Path

import imagecodecs
import pytest
from runs import ROOT

WORKING = """
import tifffile
for compression in tifffile.COMPRESSION:
    if compression in tifffile.TIFF.DECOMPRESSORS and "stub" not in tifffile.TIFF.DECOMPRESSORS[compression].__qualname__:
        print(compression.name)
"""
PNG = "import imagecodecs, numpy; imagecodecs.png_decode(imagecodecs.png_encode(numpy.zeros((9, 9), 'uint8')))"


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="the image is one of Linux")
def test_every_decoder_of_tifffile_stays_and_the_others_go(tmp_path: Path) -> None:
    package = Path(imagecodecs.__path__[0])
    for folder in (package, package.with_name("imagecodecs.libs")):
        shutil.copytree(folder, tmp_path / folder.name, ignore=shutil.ignore_patterns("__pycache__"))

    def run(path: Path, *command: object) -> str:
        environment = {"PYTHONPATH": f"{path}:{ROOT}", "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run([sys.executable, *map(str, command)], env=environment, check=True, capture_output=True, text=True).stdout

    before = sum(path.stat().st_size for path in tmp_path.rglob("*.so*"))
    print(run(tmp_path, ROOT / "slim.py"))
    assert run(tmp_path, "-c", WORKING) == run(package.parent, "-c", WORKING)
    run(tmp_path, "-c", PNG)
    left = list(tmp_path.rglob("*.so*"))
    assert sum(path.stat().st_size for path in left) < before / 2
    assert not [path for path in left if path.name.startswith(("_avif", "_tiff", "libaom"))]
