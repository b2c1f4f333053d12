"""`validate DATASET...`: whether datasets are whole and right, in Zarr v3 or v2, ours or others'.

Metadata, and every chunk there and whole; with --deep also every chunk decodable, the extremes of the windows those of level 0, and every
level made of the one before: a sample of its chunks against the exact box mean, or nearest pixel, of that.
Exit status: 0 all are right, 1 something is wrong, 2 wrong usage.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omezarr_proc.check.verdict import Verdict, judge
from omezarr_proc.model.text import one_line, shown

NOT_JUDGED = "plates, labels, bioformats2raw layouts, other transformations than scale and translation, and what is not on this disk"


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


def lines(verdict: Verdict) -> Iterator[str]:
    """The verdict for a person."""
    name = shown(verdict.path)
    if verdict.error:
        yield str(verdict.error)
        return
    for finding in verdict.findings:
        yield f"{name}: {'error' if finding.is_error(verdict.ours) else 'note'}: {finding.text}"
    errors = sum(finding.is_error(verdict.ours) for finding in verdict.findings)
    counted = f"{verdict.levels} levels, {verdict.chunks} chunks"
    yield f"{name}: {f'WRONG, {errors} errors' if errors else 'ok'}, {counted}"


def _as_json(verdict: Verdict) -> dict[str, Any]:
    findings: Sequence[dict[str, Any]] = [asdict(f) | {"error": f.is_error(verdict.ours)} for f in verdict.findings]
    return {
        "path": str(verdict.path),
        "valid": verdict.valid,
        "error": str(verdict.error) if verdict.error else None,
        "levels": verdict.levels,
        "chunks": verdict.chunks,
        "findings": findings,
    }
