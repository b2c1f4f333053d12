"""What the words of a command mean beyond their flags: where the output goes, and how errors name what was given as a flag."""

import os
import re
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from omezarr_proc.config.settings import table
from omezarr_proc.model.address import is_address
from omezarr_proc.model.errors import SettingsError


def place_output(arguments: Namespace, *, second: bool = True) -> None:
    """Make `output_dir` and `output_layout` of `-o PLACE`, or of a second word that can only be meant so: `a.tif out/`.

    A name that ends in .zarr is that of the one dataset, any other one of the folder that datasets go into.
    Unless `second`, no word is meant so. Raises SettingsError.
    """
    if arguments.output and arguments.output_dir:
        raise SettingsError("-o and --output-dir both say where the output goes: give one of them")
    if second and not arguments.output and not arguments.output_dir and len(arguments.files) == 2 and is_output(arguments.files[1]):
        arguments.output = arguments.files.pop()
    if not arguments.output:
        return
    arguments.output_dir = arguments.output
    if arguments.output.rstrip("/").lower().endswith(".zarr"):
        arguments.output_layout = "root"


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


@contextmanager
def named_as_given(flags: Iterable[str]) -> Iterator[None]:
    """Within, a SettingsError calls settings that were given as flags by these: `flags` are their variables."""
    names = {entry.variable: entry.flag for entry in table() if entry.variable in set(flags)}
    words = re.compile(rf"(?<![\w/.-])({'|'.join(names)})(?![\w/.-])")
    try:
        yield
    except SettingsError as error:
        if names:
            error.message = words.sub(lambda found: names[found[1]], error.message)
        raise
