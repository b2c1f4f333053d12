"""What the command lines of the verbs have in common."""

import argparse

from omezarr_proc.app.places import named_place
from omezarr_proc.model.address import STORES, Address, Place
from omezarr_proc.model.text import shown

PROGRAM = "omezarr-proc"


class VerbParser(argparse.ArgumentParser):
    """Parses the words behind a verb; leaves with SystemExit after --help, or where one is wrong."""

    def __init__(self, verb: str, description: str, epilog: str | None = None) -> None:
        super().__init__(prog=f"{PROGRAM} {verb}", description=description, epilog=epilog, allow_abbrev=False)

    def add_dataset(self) -> None:
        """The argument `dataset`."""
        self.add_argument("dataset", metavar="DATASET", type=named_place, help=_help("image"))

    def add_datasets(self, what: str = "image") -> None:
        """The argument `datasets`, one or more; `what` they may be."""
        self.add_argument("datasets", metavar="DATASET", nargs="+", type=named_place, help=_help(what))

    def add_output_dir(self) -> None:
        """The argument `folder`."""
        help_text = "folder of datasets, or an address in an object store"
        self.add_argument("folder", metavar="OUTPUT_DIR", type=searchable, help=help_text)

    def add_json(self) -> None:
        """The flag `--json`."""
        self.add_argument("--json", action="store_true", help="print one JSON object instead of lines")


def searchable(name: str) -> Place:
    """A place in which things can be looked for: a folder, or an address in an object store."""
    place = named_place(name)
    if isinstance(place, Address):
        if place.scheme not in STORES:
            raise argparse.ArgumentTypeError(f"{shown(place)} is no object store")
    elif not place.is_dir():
        raise argparse.ArgumentTypeError(f"{shown(place)} is not a folder")
    return place


def _help(what: str) -> str:
    return f"folder or address of an OME-Zarr {what}"
