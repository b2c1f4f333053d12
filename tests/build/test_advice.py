"""What is said before work: labels, sizes, how much is left of an image."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from omezarr_proc import cli
from omezarr_proc.build.advice import advice
from omezarr_proc.build.dataset import object_count, pyramid_of
from omezarr_proc.build.labels import label_hint
from omezarr_proc.config.reading import settings_of
from omezarr_proc.config.settings import Settings
from omezarr_proc.model.image import Image
from omezarr_proc.tiff.describe.images import open_images


def described(folder: Path, name: str = "a.tif", shape: tuple[int, ...] = (40, 50), dtype: str = "uint16") -> Image:
    path = folder / name
    tifffile.imwrite(path, np.zeros(shape, dtype), photometric="rgb" if shape[-1] == 3 else "minisblack")
    return open_images(str(path))[0]


def said(image: Image, **settings: object) -> dict[str, tuple[str, str]]:
    chosen = settings_of(settings)
    return {line.event: (line.level, line.text) for line in advice(image, pyramid_of(image, chosen), chosen)}


@pytest.mark.parametrize("name", ["cells_masks.tif", "Nuclei-SEG.tif", "label image.tif", "a.labels.ome.tif", "x_seg2.tif"])
def test_labels_by_name(tmp_path: Path, name: str) -> None:
    assert label_hint(described(tmp_path, name)) == f"it is called {name!r}"


@pytest.mark.parametrize("name", ["damask.tif", "unlabelled.tif", "segovia.tif", "cells.tif", "masking.tif"])
def test_no_labels_by_chance(tmp_path: Path, name: str) -> None:
    assert label_hint(described(tmp_path, name)) == ""


def test_labels_are_integers_without_colours(tmp_path: Path) -> None:
    assert label_hint(described(tmp_path, dtype="int32")) == "int32 pixels"
    assert label_hint(described(tmp_path, "mask.tif", dtype="float32")) == ""
    assert label_hint(described(tmp_path, "label.tif", (40, 50, 3), "uint8")) == ""  # the photo of a slide's label


def test_labels_are_loud_unless_they_are_kept(tmp_path: Path) -> None:
    image = described(tmp_path, "masks.tif")
    level, text = said(image)["labels"]
    assert level == "WARNING" and "DOWNSAMPLE_METHOD=mode or nearest keeps them" in text
    assert "labels" not in said(image, downsample_method="nearest") and "labels" not in said(image, downsample_method="mode")


def test_what_is_left_of_an_image(tmp_path: Path) -> None:
    assert said(described(tmp_path, shape=(600, 500))) == {
        "downsampled": ("INFO", "starts from 2x downsampled; INITIAL_DOWNSAMPLE=1 keeps full resolution")
    }
    _, text = said(described(tmp_path, shape=(512, 400)))["small"]
    assert text.startswith("is so small that one level of 256 x 200 is all that is made of its 512 x 400; INITIAL_DOWNSAMPLE=1 ")
    assert said(described(tmp_path, shape=(512, 400)), initial_downsample=1) == {}


def test_many_objects(tmp_path: Path) -> None:
    image = replace(described(tmp_path), height=100_000, width=40_000)
    assert object_count(image, pyramid_of(image, Settings()), Settings()) < 50_000
    assert "many-objects" not in said(image)
    level, text = said(image, initial_downsample=1)["many-objects"]
    assert level == "WARNING" and "82,129 objects" in text and "TILE_SIZE" in text


def test_dry_run_says_it_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    described(tmp_path, "masks.tif")
    assert cli.main([str(tmp_path / "masks.tif"), "--output-dir", str(tmp_path / "out"), "--dry-run"]) == 0
    text = capsys.readouterr().out
    assert "  3 objects\n" in text and "  warning: looks like labels" in text and "  info: is so small" in text


def test_the_summary_names_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(5):
        described(tmp_path, f"{number}.tif")
    assert cli.main(["--input-dir", str(tmp_path), "--output-dir", str(tmp_path / "out")]) == 0
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note ")]
    assert len(notes) == 1
    assert notes[0].endswith("/2.tif and 2 more: so small that little is left; INITIAL_DOWNSAMPLE=1 keeps full resolution")
