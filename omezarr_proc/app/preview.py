"""`preview DATASET [PICTURE]`: a picture of a dataset, ours or others', as viewers show it first; a JPEG if it is called so, else a PNG.

Exit status: 0 it is written, 1 none can be made of the dataset, 2 wrong usage, 73 it cannot be written.
"""

import argparse

from omezarr_proc.app.parser import VerbParser
from omezarr_proc.build.picture import LONGER_SIDE
from omezarr_proc.build.preview import JPEG, preview_path, write_preview
from omezarr_proc.model.address import Place, absolute, place

MOST_PIXELS = 8192  # along the longer side: compositions are made in memory


def main(argv: list[str]) -> int:
    """Make the picture, print where it is, and return the exit status. Raises InputError, OutputError."""
    parser = VerbParser(
        "preview",
        "Make a picture of an OME-Zarr image: the whole of it, in the channels, windows and colours that viewers show first.",
    )
    parser.add_dataset()
    parser.add_argument("picture", metavar="PICTURE", nargs="?", type=_picture, help="a .png or .jpg (default: DATASET.png beside it)")
    help_size = f"pixels of its longer side, 1 to {MOST_PIXELS}, fewer where the image has no more (default: some {LONGER_SIDE})"
    parser.add_argument("--preview-size", metavar="N", type=_size, default=0, help=help_size)
    arguments = parser.parse_args(argv)
    dataset: Place = place(absolute(str(arguments.dataset)))  # "." has no name
    target = arguments.picture or preview_path(dataset)
    write_preview(target, dataset, arguments.preview_size)
    print(target)
    return 0


def _picture(text: str) -> Place:
    if not text.lower().endswith((".png", *JPEG)):
        raise argparse.ArgumentTypeError(f"{text!r} ends in none of .png, {', '.join(JPEG)}")
    return place(text)


def _size(text: str) -> int:
    size = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= size <= MOST_PIXELS:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 to {MOST_PIXELS}")
    return size
