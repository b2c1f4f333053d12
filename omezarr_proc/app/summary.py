"""What a run says at its end: a row per image, or totals where there are many, and always what failed."""

from collections.abc import Mapping, Sequence

from omezarr_proc.app.results import Result, totals, totals_line
from omezarr_proc.model.errors import ProcError
from omezarr_proc.model.events import Summary
from omezarr_proc.model.text import byte_size, one_line

NAMED = 3  # images of which a note gives the names


def summary_lines(
    converted: Sequence[Summary],
    advice: Mapping[str, Sequence[str]],
    skipped: Sequence[tuple[str, str]],
    shared: Sequence[tuple[str, str]],
    failures: Sequence[ProcError],
    results: Sequence[Result],
    seconds: float,
    *,
    each: bool,
) -> list[str]:
    """The summary as lines.

    advice           the images that each piece of it is for
    skipped, shared  images with the reason, or with what of them is done
    results          of all images, in `seconds`
    each             whether every image is named; else only those that failed, and the others are counted
    """
    failed = [f"FAILED   {one_line(str(error))}" for error in failures]
    if not each:
        notes = [f"note     {_counted(names)}: {text}" for text, names in advice.items()]
        return [*notes, *failed, f"{totals_line(totals(results), seconds)} (--verbose names each image, --report FILE has all)"]
    return [
        *_rows(converted),
        *(f"note     {_named(names)}: {text}" for text, names in advice.items()),
        *(f"skipped  {name}: {reason}" for name, reason in skipped),
        *(f"part     {name}: {done}" for name, done in shared),
        *failed,
    ]


def _rows(converted: Sequence[Summary]) -> list[str]:
    """A row per image, aligned, below what its columns are."""
    rows = [("image", "size", "levels", "chunks", "stored", "seconds", "Mpx/s", "peak memory")] if converted else []
    for done in converted:
        size = " x ".join(map(str, done.shape))
        peak = "" if done.peak_bytes is None else byte_size(done.peak_bytes)
        speed = f"{done.megapixels_per_second:.1f}"
        rows.append((done.name, size, str(done.levels), str(done.chunks), byte_size(done.stored_bytes), f"{done.seconds:.1f}", speed, peak))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]) for row in rows
    ]


def _counted(names: Sequence[str]) -> str:
    return f"{len(names)} images" if len(names) > NAMED else _named(names)


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
