"""The inputs of a run: the files that were named, or what a search has found; those of a SEQUENCE are joined."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from loguru import logger

from omezarr_proc.app.inputs import Input, named, paired
from omezarr_proc.app.places import check_output, output_doubt
from omezarr_proc.app.search import find
from omezarr_proc.app.sequence import FileSequence, matched, name_of, proposals
from omezarr_proc.config.settings import Settings
from omezarr_proc.host.remote import require
from omezarr_proc.model.address import Address, Place
from omezarr_proc.model.errors import NothingToConvertError
from omezarr_proc.model.text import shown


def collect(settings: Settings, files: Sequence[str] = (), *, create_output: bool) -> Iterable[Input]:
    """Return the inputs of a run: the named files or else all below INPUT_DIR. Raises SettingsError before any work if it cannot begin.

    An object store is searched, and the error raised, when the inputs are iterated: who has made a request must not be forked.
    """
    require(settings.output_dir)
    if files:
        inputs: Iterable[Input] = named(files)
    else:
        assert settings.input_dir is not None  # read_settings has seen to it
        require(settings.input_dir)
        inputs = _found(settings.input_dir, settings.output_dir)
        if not isinstance(settings.input_dir, Address):
            inputs = list(inputs)
    check_output(settings.output_dir, create=create_output)
    if create_output and (doubt := output_doubt(settings.output_dir)):
        logger.warning(doubt)
    if settings.sequence in ("", "auto"):
        return inputs
    joined = with_sequences(inputs, settings.sequence)
    return joined if isinstance(settings.input_dir, Address) and not files else list(joined)


def _found(input_dir: Place, output_dir: Place) -> Iterator[Input]:
    search = find(input_dir, output_dir)
    for where in search.unreadable:
        logger.warning(f"left out, since it cannot be read: {where}")
    yield from search.inputs


def with_sequences(inputs: Iterable[Input], template: str) -> Iterator[Input]:
    """The inputs, where those of each folder that are named like `template` are one. Raises NothingToConvertError where none is."""
    entries = list(inputs)
    found: dict[str, list[tuple[Input, dict[str, str]]]] = {}
    for entry in entries:
        texts = matched(template, entry.relative.name)
        if texts is not None:
            found.setdefault(os.path.dirname(str(entry.path)), []).append((entry, texts))
    if not found:
        raise NothingToConvertError(f"no input is named like SEQUENCE={shown(template)}")
    joined = {
        members[0][0]: replace(
            members[0][0],
            relative=members[0][0].relative.with_name(name_of(template)),
            sequence=FileSequence(template, tuple((entry.path, tuple(texts.items())) for entry, texts in members)),
        )
        for members in found.values()
    }
    others = {entry for members in found.values() for entry, _ in members[1:]}
    yield from paired(joined.get(entry, entry) for entry in entries if entry not in others)


def proposed(inputs: Iterable[Input]) -> Iterator[str]:
    """What SEQUENCE could join, as lines for a person."""
    folders: dict[str, list[str]] = {}
    for entry in inputs:
        folders.setdefault(os.path.dirname(str(entry.path)), []).append(entry.relative.name)
    for folder, names in folders.items():
        for template, count in proposals(names):
            yield f"SEQUENCE={shown(template)} would join {count} files of {shown(folder)}"
