"""`view [DATASET|FOLDER|TIFF|OZX...]`: serve datasets, or TIFFs as they are, and open the viewer's page in the browser."""

import argparse
import os
import sys
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from omezarr_proc.app.inputs import Input, named, tiff_ending
from omezarr_proc.app.parser import VerbParser
from omezarr_proc.app.places import named_place
from omezarr_proc.app.search import MENTIONED, tiffs_in
from omezarr_proc.app.standard import say
from omezarr_proc.host.remote import reach
from omezarr_proc.host.store_errors import store_error
from omezarr_proc.model.address import Address, Place, is_address
from omezarr_proc.model.errors import InputError, OutputError, ProcError, SettingsError
from omezarr_proc.model.text import shown
from omezarr_proc.store.places import objects_at
from omezarr_proc.store.read import metadata_of, open_dataset
from omezarr_proc.store.zipped import SUFFIX, Zipped
from omezarr_proc.viewer.answers import LOOPBACK
from omezarr_proc.viewer.catalogue import dataset_format
from omezarr_proc.viewer.serving import ViewerServer

if TYPE_CHECKING:
    from omezarr_proc.app.live import LiveFiles


def main(argv: Sequence[str]) -> int:
    """Serve until Ctrl-C, then return 0. Raises SettingsError for a folder that is not there, OutputError for a port that is taken."""
    arguments = parse(argv)
    packed = one_files([text for text in arguments.names if is_one_file(text)])
    names = [text for text in arguments.names if not is_one_file(text)]
    folder, tiffs = chosen(names) if names or not packed else (None, [])
    for place in (folder, *(entry.path for entry in tiffs)):
        if isinstance(place, Address):
            reach(place)
    is_dataset = folder is not None and dataset_format(folder) is not None
    if isinstance(folder, Address) and not is_dataset:
        refuse_unlisted(folder)
    files = unopened([*tiffs, *(tiffs_in(folder) if isinstance(folder, Path) and not is_dataset else ())])
    if folder is None and not packed and not (files and any(can_be_opened(files, name) for name in files.names())):
        raise InputError("nothing to view: none of the files can be opened")
    try:
        name = folder.name if folder and is_dataset else ""
        server = ViewerServer(folder, name=name, port=arguments.port, origins=arguments.cors, live=packed, files=files)
    except OSError as error:
        raise OutputError(f"port {arguments.port} of {LOOPBACK}: {error.strerror}; choose another one with --port") from None
    with server:
        what = ", ".join([*([str(folder)] if folder else []), *packed, *(shown(entry.path) for entry in tiffs[:MENTIONED])])
        print(f"{server.url} shows {what}; Ctrl-C ends it", flush=True)
        try:
            if not arguments.no_browser and has_screen():
                webbrowser.open(server.url)
            server.serve_forever()
        except KeyboardInterrupt:
            say("\nended\n")
    return 0


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the flags; leaves with SystemExit after --help or a flag that does not exist."""
    parser = VerbParser("view", "Show datasets in the browser. Only this machine can reach them.")
    parser.add_argument("names", metavar="DATASET|FOLDER|TIFF|OZX", nargs="*", help="what to show (default: the folder OUTPUT_DIR)")
    parser.add_argument("--port", type=_port, default=0, metavar="N", help="where to listen (default: a free port)")
    parser.add_argument(
        "--cors",
        type=_origin,
        action="append",
        default=[],
        metavar="ORIGIN",
        help="pages from there (https://host) may read the datasets too",
    )
    parser.add_argument("--no-browser", action="store_true", help="print the address only")
    return parser.parse_args(argv)


def chosen(names: Sequence[str]) -> tuple[Place | None, list[Input]]:
    """Return the absolute folder or address to serve, else OUTPUT_DIR where nothing is named, and the TIFFs that are named.

    Raises SettingsError when there is neither, or more than one folder.
    """
    texts = list(names) or [text for text in (os.environ.get("OUTPUT_DIR"),) if text]
    if not texts:
        raise SettingsError("nothing to view: name a dataset, a folder or a TIFF, or set OUTPUT_DIR")
    files = [text for text in texts if is_tiff(text)]
    folders = [text for text in texts if text not in files]
    if len(folders) > 1:
        raise SettingsError(f"{shown(folders[1])}: name one dataset or one folder, beside as many TIFFs as you like")
    return (chosen_folder(folders[0]) if folders else None), named(files)


def is_tiff(text: str) -> bool:
    """Whether a name is that of a file: what is no folder here, or called like a TIFF in a store."""
    return bool(tiff_ending(text)) if is_address(text) else Path(text).is_file() or bool(tiff_ending(text) and not Path(text).is_dir())


def is_one_file(text: str) -> bool:
    """Whether a name is that of a dataset that is one file."""
    return text.lower().endswith(SUFFIX) and Path(text).is_file()


def one_files(names: Sequence[str]) -> "dict[str, OneFile]":
    """The datasets that are one file each, by what these are called. Raises InputError for one that is none."""
    found = {}
    for text in names:
        place = Path(os.path.abspath(text))
        dataset = open_dataset(place)
        found[dataset.path.name] = OneFile(Zipped(str(place)), "plate" in metadata_of(dataset.attributes, "plate"))
    return found


@dataclass(frozen=True)
class OneFile:
    """A dataset that is one file, as the server gives it out."""

    objects: Zipped
    plate: bool
    slow: bool = False

    def get(self, key: str) -> bytes:
        """An object. Raises FileNotFoundError where there is none, InputError where it cannot be read."""
        try:
            return self.objects.get(key)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}", source=self.objects.path) from error


def chosen_folder(text: str) -> Place:
    """Return the absolute folder or address that is named. Raises SettingsError when there is none."""
    if is_address(text):
        return named_place(text)
    folder = Path(os.path.abspath(text))
    if not folder.is_dir():
        raise SettingsError(f"{folder} is not a folder: name a dataset (a.ome.zarr), a folder of datasets, or a TIFF")
    return folder


def unopened(inputs: "Sequence[Input]") -> "LiveFiles | None":
    """TIFFs whose images will be live datasets; None where there are none."""
    if not inputs:
        return None
    from omezarr_proc.app.live import LiveFiles

    return LiveFiles(inputs)


def can_be_opened(files: "LiveFiles", name: str) -> bool:
    """Whether a file can be opened; why not is told in a line."""
    try:
        return bool(files.open(name).images)
    except ProcError:
        return False


def refuse_unlisted(address: Address) -> None:
    """Raise OutputError where it cannot be found out which datasets are there."""
    try:
        objects_at(address).names()
    except OSError as error:
        raise store_error("is no dataset, and cannot be listed", error, address) from None


def has_screen() -> bool:
    """Return whether a browser can be opened: without a screen, webbrowser would start a text browser in this terminal."""
    return not sys.platform.startswith("linux") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))


def _origin(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.netloc or text != f"{parts.scheme}://{parts.netloc}":
        raise argparse.ArgumentTypeError(f"{text!r} is not an origin, such as https://viewer.example or http://localhost:8000")
    return text


def _port(text: str) -> int:
    port = int(text) if text.isascii() and text.isdigit() else -1
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, 0 to 65535")
    return port
