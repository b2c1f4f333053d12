"""`status OUTPUT_DIR`: which datasets are there, which are being made, and which parts of these are done, at work, stopped or not begun.

With `--input-dir` it also says which inputs have neither a dataset nor anything unfinished, by their names. OUTPUT_DIR may be a place in an
object store. Exit status: 0 all is done, 1 something is not or there is nothing, 2 wrong usage.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from omezarr_proc.app.inputs import dataset_path
from omezarr_proc.app.parser import VerbParser, searchable
from omezarr_proc.app.search import find
from omezarr_proc.app.unfinished import Unfinished, look, look_in_store
from omezarr_proc.host.store_errors import store_error
from omezarr_proc.model.address import Address, Place
from omezarr_proc.model.errors import SettingsError
from omezarr_proc.model.text import byte_size, one_line, shown

# Of a plate, in a line.
NAMED_FIELDS = 5


def main(argv: list[str]) -> int:
    """Look, and print a line for each dataset that is not done and one for all that are; returns the exit status."""
    parser = VerbParser(
        "status",
        "Tell which datasets of OUTPUT_DIR and its subfolders are done, and which parts of others are to be started again.",
        "Exit status: 0 all is done, 1 something is not or there is nothing at all, 2 wrong usage.",
    )
    parser.add_output_dir()
    parser.add_argument("--input-dir", metavar="INPUT_DIR", type=searchable, help="also tell which inputs have no dataset yet")
    parser.add_json()
    arguments = parser.parse_args(argv)
    try:
        done, unfinished = look_in_store(arguments.folder) if isinstance(arguments.folder, Address) else look(arguments.folder)
    except OSError as error:
        raise store_error("cannot be looked at", error, arguments.folder) from None
    known = {*done, *(one.dataset for one in unfinished)}
    missing = _not_begun(arguments.input_dir, arguments.folder, known) if arguments.input_dir else []
    if arguments.json:
        found: dict[str, Any] = {"done": done, "unfinished": [asdict(one) | {"again": one.again} for one in unfinished]}
        print(json.dumps(found | ({} if arguments.input_dir is None else {"missing": missing}), indent=1))
    else:
        for line in _lines(done, unfinished, missing):
            print(one_line(line))
    return 0 if done and not unfinished and not missing else 1


def _not_begun(input_dir: Place, output_dir: Place, known: Iterable[str]) -> list[str]:
    """The inputs of which no image has a dataset, nor an unfinished one."""
    try:
        inputs = find(input_dir, output_dir).inputs
    except SettingsError:  # there is none
        return []
    names = set(known)
    first = {str(entry.path): str(output_dir / dataset_path(entry.relative)) for entry in inputs}
    stems = {name.rpartition(".series")[0] for name in names if ".series" in name}
    return [path for path, dataset in first.items() if dataset not in names and dataset.removesuffix(".ome.zarr") not in stems]


def _lines(done: list[str], unfinished: list[Unfinished], missing: list[str]) -> Iterator[str]:
    for one in unfinished:
        yield f"{shown(one.dataset)}: {'; '.join(_facts(one))}"
    for path in missing:
        yield f"{shown(path)}: nothing of it is there"
    if not (done or unfinished or missing):
        yield "nothing is here: no dataset, and none that is being made"
    more = f", nothing of: {len(missing)}" if missing else ""
    yield f"done: {len(done)}, not done: {len(unfinished)}{more}"


def _facts(one: Unfinished) -> Iterator[str]:
    if one.run:
        percent = "" if one.run.percent is None else f", {one.run.percent} %"
        states = {"working": f"a run is at work{percent}", "stopped": f"a run has stopped{percent}", "done": "is whole, not published"}
        yield states[one.run.state]
    if one.of:
        named = {"done": one.done, "at work": one.working, "stopped": one.stopped, "not begun": one.missing}
        yield f"of {one.of} parts " + ", ".join(f"{state}: {_numbers(numbers)}" for state, numbers in named.items() if numbers)
        if again := one.again:
            numbers = [int(part.partition("/")[0]) for part in again]
            yield f"start {f'PART={again[0]}' if len(again) == 1 else f'parts {_numbers(numbers)}'} again"
    if one.fields is None:
        yield f"{byte_size(one.bytes)} are stored"
    else:
        missing = one.fields.missing
        more = f" and {len(missing) - NAMED_FIELDS} more" if len(missing) > NAMED_FIELDS else ""
        names = f", missing: {', '.join(missing[:NAMED_FIELDS])}{more}" if missing else ""
        yield f"{one.fields.made} of {one.fields.made + len(missing)} fields are made{names}"


def _numbers(numbers: list[int]) -> str:
    """1-3, 7."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
