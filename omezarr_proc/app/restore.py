"""`restore DATASET out.ome.tif`: the pixels of a dataset as the OME-TIFF that they came from, so that the TIFF need not be kept.

Tiled, compressed, with the levels as SubIFDs and the OME-XML that was kept, or one made of the dataset's metadata where none was. It
appears under its name when it is whole; `verify DATASET --source out.ome.tif` compares it. What a dataset has not of its source is said,
and taken with --lossy only. Exit status: 0 it is written, 1 the dataset cannot be restored, or not without a loss, 2 wrong usage, 73 it
cannot be written, or is there already, 75 another run writes it.
"""

import argparse
from pathlib import Path

from omezarr_proc.app.parser import VerbParser
from omezarr_proc.check.collection import open_collection
from omezarr_proc.check.verdict import judge
from omezarr_proc.model.address import Place, absolute, is_address, place
from omezarr_proc.model.errors import InputError, UnsupportedInputError, about
from omezarr_proc.model.text import byte_size, counted, one_line, shown
from omezarr_proc.store.read import Dataset, open_dataset


def main(argv: list[str]) -> int:
    """Write the TIFF, print a line about it, and return the exit status. Raises InputError, OutputError."""
    parser = VerbParser(
        "restore",
        "Write the full resolution of an OME-Zarr image as a tiled, compressed, pyramidal OME-TIFF.",
        "Exit status: 0 written, 1 cannot be restored, or not without --lossy, 2 wrong usage, 73 cannot be written, or is there.",
    )
    parser.add_dataset()
    parser.add_argument("tiff", metavar="TIFF", type=_tiff, help="the file to write; one that is there is not replaced")
    parser.add_argument("--compression", choices=("deflate", "zstd"), default="deflate", help="of tiles (default deflate, read everywhere)")
    parser.add_argument("--lossy", action="store_true", help="write what there is, where the dataset has not all that its source had")
    arguments = parser.parse_args(argv)
    dataset: Place = place(absolute(str(arguments.dataset)))
    with about(dataset):
        found = _whole(dataset)
        from omezarr_proc.build.restore import losses, restore
        from omezarr_proc.host.limits import read_limits

        lost = losses(found)
        if lost and not arguments.lossy:
            hint = "--lossy writes what there is"
            raise UnsupportedInputError(f"has not all of its source: it lacks {'; '.join(lost)}", source=dataset, hint=hint)
        written = restore(found, arguments.tiff, arguments.compression, max(1, round(read_limits().cpus)))
    t, c, z, y, x = written.levels[0]
    sizes = ", ".join(f"{name} {n}" for name, n in zip("yxczt", (y, x, c, z, t), strict=True) if n > 1 or name in "yx")
    of_xml = "the OME-XML of the source" if written.kept else "OME-XML made of the dataset's metadata"
    levels = counted(len(written.levels), "level")
    print(one_line(f"{shown(arguments.tiff)}: {sizes}, {written.dtype}, {levels}, {of_xml}, {byte_size(written.bytes)}"))
    for loss in lost:
        print(one_line(f"{shown(arguments.tiff)}: lacks {loss}"))
    return 0


def _whole(path: Place) -> Dataset:
    """The dataset, if it is one image and right. Raises InputError where it is not."""
    dataset = open_dataset(path)
    collection = open_collection(dataset)
    if collection is not None:
        first = f", as {shown(path)}/{collection.images[0]}" if collection.images else ""
        hint = f"name one of its images{first}"
        raise UnsupportedInputError("is a plate or another collection, and one image becomes one TIFF", source=path, hint=hint)
    verdict = judge(path)
    if verdict.error:
        raise verdict.error
    wrong = [finding for finding in verdict.findings if finding.is_error(verdict.ours)]
    if wrong:
        raise InputError(f"is not whole or not right: {wrong[0].text}", source=path)
    return dataset


def _tiff(text: str) -> Path:
    if is_address(text) or not text.lower().endswith((".tif", ".tiff")):
        raise argparse.ArgumentTypeError(f"{text!r} is no file of this machine whose name ends in .tif or .tiff")
    return Path(absolute(text))
