"""The command line of a conversion: verbs, files, and a flag for each setting that the platform does not give."""

import argparse
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NoReturn

from omezarr_proc import version
from omezarr_proc.app.parser import PROGRAM
from omezarr_proc.app.words import place_output
from omezarr_proc.config.settings import table
from omezarr_proc.model.errors import SettingsError

# Verb: the module whose `main` does it, imported only then, and its line in --help.
VERBS = {
    "view": ("omezarr_proc.app.view", "look at datasets, or TIFFs as they are, in a web browser"),
    "validate": ("omezarr_proc.app.validate", "check datasets: metadata, chunks, with --deep also pixels"),
    "verify": ("omezarr_proc.app.verify", "compare datasets with the TIFFs that they were made of, pixel by pixel"),
    "restore": ("omezarr_proc.app.restore", "write the full resolution of a dataset as an OME-TIFF"),
    "upgrade": ("omezarr_proc.app.upgrade", "write the metadata of datasets in another version of NGFF"),
    "info": ("omezarr_proc.app.info", "tell what TIFFs and datasets hold"),
    "status": ("omezarr_proc.app.status", "tell which datasets are done, and which parts are to be started again"),
    "preview": ("omezarr_proc.app.preview", "make a picture of a dataset"),
    "clean": ("omezarr_proc.app.clean", "remove what unfinished conversions have left"),
    "memprofile": ("omezarr_proc.app.memprofile", "measure the memory of a conversion over time"),
}


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse flags and files in any order; leaves with SystemExit after --help, --version or a flag that does not exist."""
    parser = make_parser()
    words = list(argv)
    end = words.index("--") if "--" in words else len(words)
    arguments, unknown = parser.parse_known_intermixed_args([*_with_values(words[:end])])
    if unknown:
        # only names: what follows a misspelt --session-token is a token
        flags = sorted({word.partition("=")[0] for word in unknown if word.startswith("-")})
        for entry in table():
            if entry.environment_only and entry.flag in flags:
                why = "`ps` would show the token" if entry.secret else "the platform gives it"
                parser.error(f"there is no flag {entry.flag}, since {why}: set {entry.variable} in the environment")
        parser.error(f"unknown flag {' '.join(map(repr, flags))} (a file of that name is given after --)")
    arguments.files += words[end + 1 :]
    place_output(arguments, second=not words[end + 1 :])
    return arguments


def _with_values(argv: Sequence[str]) -> Iterator[str]:
    """`--preview` by itself is `--preview=1`; a file that is named as one of its values is (0, 1, true, ...) is not meant after it."""
    switches = {entry.flag: entry.rule for entry in table() if entry.rule.switch}
    for word, following in pairwise([*argv, ""]):
        yield f"{word}=1" if word in switches and not switches[word].takes(following) else word


def make_parser() -> argparse.ArgumentParser:
    """The parser, for --help too."""
    verbs = "; ".join(f"{verb}: {text}" for verb, (_, text) in VERBS.items())
    parser = _Parser(
        prog=PROGRAM,
        usage=f"{PROGRAM} [flag ...] [FILE ...]\n       {PROGRAM} [flag ...] {{FILE,FOLDER}} OUTPUT\n"
        f"       {PROGRAM} {{{','.join(VERBS)}}} ...",
        description="Convert OME-TIFF and TIFF images to multi-resolution OME-Zarr.",
        epilog=f"Verbs, each with its own --help: {verbs}. Every setting is an environment variable too (in capitals, - as _); flags win. "
        "Exit status: 0 all converted, 1 an input failed, 2 wrong settings or nothing to convert, 71 more memory is needed, 73 the output "
        "cannot be written, 75 run it again.",
        allow_abbrev=False,
    )
    files = "files to convert, instead of all TIFFs below --input-dir; a folder alone is that"
    parser.add_argument("files", metavar="FILE", nargs="*", help=files)
    parser.add_argument("--dry-run", action="store_true", help="print the plan for each image and write nothing")
    parser.add_argument("--quiet", action="store_true", help="show warnings and errors only")
    parser.add_argument("--verbose", action="store_true", help="tell of each image also where there are more than 20")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {version()}")
    where = "the folder of the datasets, or with a name that ends in .zarr the dataset of the one image (--output-layout root)"
    parser.add_argument("-o", dest="output", metavar="PLACE", help=where)
    settings = parser.add_argument_group("settings")
    for entry in table():
        if entry.environment_only:
            continue
        default = f" (default {entry.default_text})" if entry.default_text else ""
        text = "; ".join(filter(None, (entry.help, entry.rule.text))) + default
        metavar = "[VALUE]" if entry.rule.switch else "VALUE"
        settings.add_argument(entry.flag, dest=entry.name, metavar=metavar, help=text.replace("%", "%%"))
    return parser


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        message = re.sub(r"explicit argument .*", "its value: this flag takes none", message)
        raise SettingsError(f"{message}; see --help")
