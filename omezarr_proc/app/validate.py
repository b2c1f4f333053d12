"""`validate DATASET...`: whether datasets are whole and right, in Zarr v3 or v2, ours or others', with their labels; plates image by image.

Metadata, and every chunk there and whole; with --deep also every chunk decodable, the extremes of the windows those of level 0, and every
level made of the one before: a sample of its chunks against the exact box mean, or nearest pixel, of that.
Exit status: 0 all are right, 1 something is wrong, 2 wrong usage.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from omezarr_proc.app.parser import VerbParser
from omezarr_proc.app.standard import tell_each
from omezarr_proc.check.verdict import Verdict, judge_all
from omezarr_proc.model.text import counted, shown

NOT_JUDGED = "NGFF before 0.4 and after 0.6, and other transformations than scale and translation"


def main(argv: list[str]) -> int:
    """Judge the datasets that are named, print a line for each finding and for each dataset, and return the exit status."""
    parser = VerbParser(
        "validate",
        "Check OME-Zarr images: metadata against NGFF and what viewers need, every chunk there and whole.",
        f"Not judged: {NOT_JUDGED}. Exit status: 0 all right, 1 something is wrong, 2 wrong usage.",
    )
    parser.add_datasets("image, plate or collection")
    parser.add_argument("--deep", action="store_true", help="decode every chunk, hold the windows and each level against the pixels")
    parser.add_json()
    arguments = parser.parse_args(argv)
    verdicts = (verdict for path in arguments.datasets for verdict in judge_all(path, deep=arguments.deep))
    return tell_each(verdicts, lambda verdict: verdict.valid, lines, _as_json if arguments.json else None)


def lines(verdict: Verdict) -> Iterator[str]:
    """The verdict for a person."""
    name = shown(verdict.path)
    if verdict.error:
        yield str(verdict.error)
        return
    for finding in verdict.findings:
        yield f"{name}: {'error' if finding.is_error(verdict.ours) else 'note'}: {finding.text}"
    errors = sum(finding.is_error(verdict.ours) for finding in verdict.findings)
    judged = f"WRONG, {counted(errors, 'error')}" if errors else "ok"
    pixels = f"{counted(verdict.levels, 'level')}, {counted(verdict.chunks, 'chunk')}"
    yield f"{name}: {judged}, {pixels if verdict.images is None else counted(verdict.images, 'image')}"


def _as_json(verdict: Verdict) -> dict[str, Any]:
    findings: Sequence[dict[str, Any]] = [asdict(f) | {"error": f.is_error(verdict.ours)} for f in verdict.findings]
    return {
        "path": str(verdict.path),
        "valid": verdict.valid,
        "error": str(verdict.error) if verdict.error else None,
        "levels": verdict.levels,
        "chunks": verdict.chunks,
        "images": verdict.images,
        "findings": findings,
    }
