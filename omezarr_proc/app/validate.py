"""`validate DATASET...`: whether datasets are whole and right, in Zarr v3 or v2, ours or others'.

Metadata (see `conformance`), every chunk there and whole (see `stored`); with --deep also every chunk decodable, the extremes of the
windows those of level 0, and every level made of the one before: a sample of its chunks against the exact box mean, or nearest pixel, of
that. Exit status: 0 all are
right, 1 something is wrong, 2 wrong usage.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from omezarr_proc.app.inputs import shown
from omezarr_proc.app.log import one_line
from omezarr_proc.check.finding import Finding
from omezarr_proc.check.spec import check
from omezarr_proc.check.stored import check_stored
from omezarr_proc.model.errors import InputError, OutputError
from omezarr_proc.store.read import Dataset, open_dataset

NOT_JUDGED = "plates, labels, bioformats2raw layouts, other transformations than scale and translation, and what is not on this disk"


@dataclass(frozen=True)
class Verdict:
    """What was found of one dataset; `error`: it could not be opened at all."""

    path: Path
    findings: tuple[Finding, ...] = ()
    ours: bool = False
    levels: int = 0
    chunks: int = 0
    error: str = ""

    @property
    def valid(self) -> bool:
        """Whether nothing is wrong; notes do not count."""
        return not self.error and not any(finding.is_error(self.ours) for finding in self.findings)


def main(argv: list[str]) -> int:
    """Judge the datasets that are named, print a line for each finding and for each dataset, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="omezarr-proc validate",
        description="Check OME-Zarr images: metadata against NGFF and what viewers need, every chunk there and whole.",
        epilog=f"Not judged: {NOT_JUDGED}. Exit status: 0 all right, 1 something is wrong, 2 wrong usage.",
        allow_abbrev=False,
    )
    parser.add_argument("datasets", metavar="DATASET", nargs="+", type=Path, help="folder of an OME-Zarr image")
    parser.add_argument("--deep", action="store_true", help="decode every chunk, hold the windows and each level against the pixels")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of lines")
    arguments = parser.parse_args(argv)
    verdicts = []
    for path in arguments.datasets:
        verdicts.append(judge(path, deep=arguments.deep))
        if not arguments.json:
            print("\n".join(one_line(line) for line in lines(verdicts[-1])), flush=True)
    if arguments.json:
        json.dump({"datasets": [_as_json(verdict) for verdict in verdicts]}, sys.stdout, indent=2)
        print()
    return 0 if all(verdict.valid for verdict in verdicts) else 1


def judge(path: Path, *, deep: bool = False) -> Verdict:
    """Everything that is wrong with one dataset."""
    try:
        dataset = open_dataset(path)
    except InputError as error:
        return Verdict(path, error=str(error))
    findings = [*check(dataset), *_layout(dataset)]
    for array in dataset.arrays:
        findings += check_stored(dataset, array, lengths=not deep)  # decoding finds more, and says what
    if deep:
        from omezarr_proc.check.pixels import check_pixels

        findings += check_pixels(dataset)
    total = sum(array.chunk_count for array in dataset.arrays)
    return Verdict(path, tuple(findings), dataset.own is not None, len(dataset.arrays), total)


def lines(verdict: Verdict) -> Iterator[str]:
    """The verdict for a person."""
    name = shown(verdict.path)
    if verdict.error:
        yield verdict.error if name in verdict.error else f"{name}: {verdict.error}"
        return
    for finding in verdict.findings:
        yield f"{name}: {'error' if finding.is_error(verdict.ours) else 'note'}: {finding.text}"
    errors = sum(finding.is_error(verdict.ours) for finding in verdict.findings)
    counted = f"{verdict.levels} levels, {verdict.chunks} chunks"
    yield f"{name}: {f'WRONG, {errors} errors' if errors else 'ok'}, {counted}"


def refuse_wrong(staging: Path) -> None:
    """Raise OutputError where the metadata of a dataset about to be published is wrong: better no dataset than one that misleads."""
    if found := check(open_dataset(staging)):
        raise OutputError(f"{staging}: is not published, since its metadata is wrong, which is a mistake of this program: {found[0].text}")


def _layout(dataset: Dataset) -> Iterator[Finding]:
    """Files that do not belong there."""
    if dataset.zarr_format == 3:
        rule, hint = "no Zarr v2 files beside those of v3: Neuroglancer refuses the store", "remove it"
        folders = [Path(), *(Path(array.path) for array in dataset.arrays)]
        for name in (folder / name for folder in folders for name in (".zgroup", ".zattrs", ".zarray")):
            if (dataset.path / name).exists():
                yield Finding("viewers", str(name), "is there", rule, hint)


def _as_json(verdict: Verdict) -> dict[str, Any]:
    findings: Sequence[dict[str, Any]] = [asdict(f) | {"error": f.is_error(verdict.ours)} for f in verdict.findings]
    return {
        "path": str(verdict.path),
        "valid": verdict.valid,
        "error": verdict.error or None,
        "levels": verdict.levels,
        "chunks": verdict.chunks,
        "findings": findings,
    }
