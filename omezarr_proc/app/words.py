"""What words mean beyond flags: where the output goes, how errors name what was given as a flag, and what is nearly a verb or a setting."""

import os
import re
from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from omezarr_proc.config.rules import PLACE
from omezarr_proc.config.settings import table
from omezarr_proc.model.address import is_address
from omezarr_proc.model.errors import SettingsError
from omezarr_proc.model.text import shown

_NEAR = 0.88  # difflib's ratio: one letter too many, missing or exchanged in nine
_OF_OTHERS = frozenset({"LOGLEVEL"})  # many programs read it, and of ours it would say too little to matter


def place_output(arguments: Namespace, *, second: bool = True) -> None:
    """Make `output_dir` and `output_layout` of `-o PLACE`, or of a second word that can only be meant so: `a.tif out/`.

    A name that ends in .zarr is that of the one dataset, any other one of the folder that datasets go into. A single word that names a
    folder is the `input_dir`. Unless `second`, all words are files. Raises SettingsError.
    """
    if arguments.output and arguments.output_dir:
        raise SettingsError("-o and --output-dir both say where the output goes: give one of them")
    files: list[str] = arguments.files
    if second and not arguments.output and not arguments.output_dir and len(files) == 2 and is_output(files[1]):
        arguments.output = files.pop()
    if second and not arguments.input_dir and len(files) == 1 and PLACE.takes(files[0]) and is_place(files[0]):
        arguments.input_dir = files.pop()
    if not arguments.output:
        return
    arguments.output_dir = arguments.output
    if arguments.output.rstrip("/").lower().endswith(".zarr"):
        arguments.output_layout = "root"


def is_place(word: str) -> bool:
    """Whether TIFFs are to be looked for below what a word names: a folder, or an address that is not named like a TIFF."""
    from omezarr_proc.app.inputs import tiff_ending

    return not tiff_ending(word) if is_address(word) else os.path.isdir(word)


def is_output(word: str) -> bool:
    """Whether a word behind a file names an output: a folder, or what is not there and is not called as a TIFF is."""
    from omezarr_proc.app.inputs import tiff_ending

    if is_address(word):
        return not tiff_ending(word)
    return Path(word).is_dir() or not (tiff_ending(word) or Path(word).exists())


def refuse_misspelt(files: Sequence[str], verbs: Iterable[str]) -> None:
    """Raise SettingsError where the first word is no file, but nearly a verb."""
    if not files or is_address(files[0]) or os.path.lexists(files[0]):
        return
    from difflib import get_close_matches

    if verb := next(iter(get_close_matches(files[0], list(verbs), 1)), None):
        raise SettingsError(f"{files[0]}: there is no such file; is the verb {verb} meant?")


def warn_of_misspelt(environ: Iterable[str]) -> None:
    """Log a line for each variable that is nearly a setting of more than one word (`TILE_SZE`, `tile_size`), without its value."""
    names = {entry.variable for entry in table()}
    settings = [entry.variable for entry in table() if "_" in entry.variable and not entry.environment_only]
    for variable in sorted(set(environ) - names - _OF_OTHERS):
        near = [name for name in settings if name[0] == variable[:1].upper() and abs(len(name) - len(variable)) <= 2]
        if not near:
            continue
        from difflib import get_close_matches

        from loguru import logger

        if meant := next(iter(get_close_matches(variable.upper(), near, 1, _NEAR)), None):
            logger.warning(f"{shown(variable)} is set, and is no setting: is {meant} meant?")


def flags_meant(environ: Mapping[str, str], given: Iterable[str], argv: Sequence[str]) -> list[str]:
    """Variables of the settings that are flags to whoever has written the command line.

    Those that were `given` so; and those that are given nowhere, unless all that is said is said in the environment.
    """
    there = {entry.variable for entry in table() if environ.get(entry.variable)}
    others = [] if there and not argv else [entry.variable for entry in table() if not entry.environment_only]
    return [*given, *(variable for variable in others if variable not in there)]


@contextmanager
def named_as_given(flags: Iterable[str]) -> Iterator[None]:
    """Within, a SettingsError calls settings by their flags: `flags` are their variables."""
    names = {entry.variable: entry.flag for entry in table() if entry.variable in set(flags)}
    words = re.compile(rf"(?<![\w/.-])({'|'.join(names)})(?![\w/.-])")
    try:
        yield
    except SettingsError as error:
        if names:
            error.message = words.sub(lambda found: names[found[1]], error.message)
        raise
