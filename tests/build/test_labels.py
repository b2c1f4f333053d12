"""What looks like labels though nothing says so, and what must not: a few windows are looked at."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from runs import ROOT

from omezarr_proc import cli
from omezarr_proc.build.labels import label_hint
from omezarr_proc.model.errors import ProcError
from omezarr_proc.tiff.describe.images import open_images

FLAT = "it has flat areas of values far apart"
CORPUS = ROOT.parent / "shared" / "corpus"


def cells(side: int = 600, most: int = 200, radius: int = 14, dtype: str = "uint16") -> np.ndarray:
    """Discs on background, numbered in no order."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:side, :side]
    found = np.zeros((side, side), dtype)
    for number in rng.permutation(most) + 1:
        cy, cx = rng.integers(0, side, 2)
        found[(y - cy) ** 2 + (x - cx) ** 2 < rng.integers(radius // 2, radius + 1) ** 2] = number
    return found


def hint(folder: Path, pixels: np.ndarray, **options: object) -> str:
    tifffile.imwrite(folder / "a.tif", pixels, **{"photometric": "minisblack", "metadata": None, **options})
    return label_hint(open_images(str(folder / "a.tif"))[0])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "zlib"},
        {"compression": "lzw", "tile": (256, 256)},
        {"tile": (16, 16)},
        {"rowsperstrip": 3, "compression": "zstd"},
    ],
    ids=["raw", "deflate", "lzw tiles", "small tiles", "strips"],
)
def test_labels_are_seen(tmp_path: Path, options: dict[str, object]) -> None:
    assert hint(tmp_path, cells(), **options) == FLAT


def test_classes_stacks_and_bytes_are_seen(tmp_path: Path) -> None:
    blocks = np.kron(np.random.default_rng(1).integers(0, 6, (30, 30)), np.ones((20, 20))).astype("uint8")
    assert hint(tmp_path, blocks) == FLAT
    assert hint(tmp_path, np.stack([np.zeros((600, 600), "uint16"), cells(), np.zeros((600, 600), "uint16")])) == FLAT  # the middle plane
    assert hint(tmp_path, cells(dtype="uint8")) == FLAT


def intensities() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    y, x = np.mgrid[:600, :600]
    smooth = 120 + 100 * np.sin(x / 97) * np.cos(y / 61)
    spots = np.exp(-((x % 100 - 50) ** 2 + (y % 100 - 50) ** 2) / 300)
    return {
        "camera": rng.poisson(smooth).astype("uint16"),
        "without noise": smooth.astype("uint8"),
        "few shades": (smooth // 32).astype("uint8"),
        "cut off": np.clip(rng.normal(smooth + 600 * spots, 8), 0, 255).astype("uint8"),
        "dark": np.where(spots > 0.5, rng.poisson(400 * spots), 0).astype("uint16"),
        "two values": (spots > 0.5).astype("uint8") * 255,
        "empty": np.zeros((600, 600), "uint16"),
        "one row": np.arange(600, dtype="uint16")[np.newaxis],
        "one column": np.arange(600, dtype="uint16")[:, np.newaxis],
    }


@pytest.mark.parametrize("name", intensities())
def test_intensities_are_not(tmp_path: Path, name: str) -> None:
    assert hint(tmp_path, intensities()[name], compression="zlib") == ""


def test_what_cannot_be_labels_is_not_looked_at(tmp_path: Path) -> None:
    assert hint(tmp_path, np.stack([cells(dtype="uint8")] * 3, -1), photometric="rgb") == ""
    assert hint(tmp_path, cells().astype("float32")) == ""
    assert hint(tmp_path, cells(dtype="uint8"), compression="jpeg2000") == ""
    assert hint(tmp_path, np.kron(cells(), np.ones((3, 3), "uint16")), compression="zlib", rowsperstrip=1800) == ""  # one segment of 6 MB


def test_damage_is_no_matter_of_advice(tmp_path: Path) -> None:
    assert hint(tmp_path, cells(), compression="zlib") == FLAT
    (image,) = open_images(str(tmp_path / "a.tif"))
    data = bytearray((tmp_path / "a.tif").read_bytes())
    data[600:-600] = bytes(len(data) - 1200)
    (tmp_path / "a.tif").write_bytes(data)
    assert label_hint(image) == ""


def test_it_is_said_before_work_and_not_where_labels_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tifffile.imwrite(tmp_path / "a.tif", cells())
    for flags, expected in (((), 1), (("--downsample-method", "mode"), 0), (("--downsample-method", "nearest"), 0)):
        assert cli.main([str(tmp_path / "a.tif"), "--output-dir", str(tmp_path), "--dry-run", *flags]) == 0
        text = capsys.readouterr().out
        assert text.count(f"warning: looks like labels ({FLAT}): means of labels are labels that do not exist;") == expected
        assert text.count("DOWNSAMPLE_METHOD=mode or nearest keeps them") == expected


# Masks and numbered points of the corpus, and the one drawing in it.
IN_CORPUS = {"p0_y1_r1_c0.ome.tif", "output8.tiff", "grey16.tif", "grey16-multi.tif", "greya32.tif"}


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.skipif(not CORPUS.exists(), reason="needs the shared corpus beside the repository")
def test_no_photograph_of_the_corpus_looks_like_labels() -> None:
    found = set()
    for entry in json.loads((CORPUS / "MANIFEST.json").read_text())["entries"]:
        try:
            images = open_images(str(CORPUS / entry["file"]))
        except (ProcError, OSError):
            continue
        found |= {Path(entry["file"]).name for image in images if label_hint(image) == FLAT}
    assert found == IN_CORPUS
