"""The same for files that others made: only their names and the digests of their datasets are kept here, no content."""

import os
import shutil
import tempfile
from pathlib import Path

from runs import ROOT

from tests.golden.digests import datasets, save
from tests.golden.inputs import MTIME

CORPUS = ROOT.parent / "shared/corpus/files"
FILE = Path(__file__).with_name("corpus.json")
FLAGS = ("--initial-downsample", "1", "--tile-size", "64", "--min-dimension", "32")
# A file, or a set by the folder of its members.
CHOSEN = (
    "found/tlnagy+exampletiffs/shapes_lzw_tiled_planar.tif",
    "found/tlnagy+exampletiffs/shapes_multi_size.tif",
    "found/tlnagy+exampletiffs/shapes_zstd.tif",
    "found/tlnagy+exampletiffs/ometiff_testdata/multiples/master",
    "found/tlnagy+exampletiffs/ometiff_testdata/singles/single-channel.ome.tif",
    "found/hms-dbmi+viv/packages/loaders/tests/fixtures/multi-channel.ome.tif",
    "found/qupath+qupath/qupath-extension-bioformats/src/test/resources/images/cells/cells.ome.tif",
    "found/napari+napari-tiff/test_data/test_imagej_with_time.tiff",
    "found/stardist+stardist/tests/data/img3d.tif",
    "found/libsdl-org+libtiff/test/images/minisblack-2c-8b-alpha.tiff",
    "found/libsdl-org+libtiff/test/images/test_float64_predictor2_be_lzw.tif",
    "found/libsdl-org+libtiff/test/images/tiff_with_subifd_chain.tif",
    "found/image-rs+image-tiff/tests/images/bigtiff/BigTIFFMotorola.tif",
    "found/python-pillow+Pillow/Tests/images/tiff_tiled_planar_16bit_RGB.tiff",
    "found/yigolden+TiffLibrary/tests/Assets/Image/orientation.tif",
    "found/kleinicke+tiff-visualizer/test-samples/zstd_pred2_u16.tif",
    "found/BitMiracle+libtiff.net/TestCase/tiger-rgb-strip-planar-08.tif",
    "gen/bf/pt_double_be.ome.tif",
    "gen/bf/order_5d_equal.ome.tif",
    "gen/bf/rgb_two_channels.ome.tif",
    "gen/bf/comp_JPEG2000_uint16_tiled.ome.tif",
    "gen/bf/pyr_uint16_c3.ome.tif",
    "gen/bf/mf_z",
    "gen/bf/plate_2x3x2.ome.tif",
    "gen/bf/size_5003x7.ome.tif",
    "gen/libtiff/be_bigtiff.tif",
    "gen/vips/pred_float_f4.tif",
    "gen/pylib/tf_imagej_TZCYX.tif",
    "gen/pylib/tf_nan_inf.ome.tif",
    "gen/pylib/bioio_multiscene.ome.tiff",
    "gen/edit/unit_angstrom.ome.tif",
)


def present() -> bool:
    """Return whether all of them are beside the repository."""
    return all((CORPUS / name).exists() for name in CHOSEN)


def convert(folder: Path) -> dict[str, str]:
    """Convert them with one call of the program: the digest of each dataset by its name."""
    place = folder / "in"
    place.mkdir()
    for name in CHOSEN:
        path = CORPUS / name
        for file in path.iterdir() if path.is_dir() else [path]:
            shutil.copyfile(file, place / file.name)
            os.utime(place / file.name, (MTIME, MTIME))
    return datasets(sorted(place.iterdir()), folder / "out", FLAGS)


def write() -> None:
    """Make the file of digests, where the corpus is."""
    if not present():
        print(f"{CORPUS}: absent, so its digests stay what they are")
        return
    with tempfile.TemporaryDirectory() as folder:
        found = convert(Path(folder))
    save(FILE, found)
