"""PART: which share of a batch a run makes, said as `3/16` or by the index that an array job gives each of its tasks.

Parts are counted from 1, as people write them. Schedulers count as they like; where PART is `auto/16` their own variables are read:

    AWS_BATCH_JOB_ARRAY_INDEX   from 0; AWS_BATCH_JOB_ARRAY_SIZE says how many there are
    SLURM_ARRAY_TASK_ID         from SLURM_ARRAY_TASK_MIN in steps of SLURM_ARRAY_TASK_STEP; SLURM_ARRAY_TASK_COUNT says how many there are
    JOB_COMPLETION_INDEX        from 0 (Kubernetes, completionMode: Indexed)
"""

from collections.abc import Mapping
from dataclasses import dataclass

from omezarr_proc.config.rules import Rule
from omezarr_proc.model.errors import SettingsError
from omezarr_proc.model.part import Part

MOST_PARTS = 100_000


@dataclass(frozen=True)
class AutoPart:
    """One of `of` parts; the scheduler's variables say which."""

    of: int

    def __str__(self) -> str:
        return f"auto/{self.of}"


@dataclass(frozen=True)
class _Array:
    """How a scheduler names the index of a task of an array, the first one, the distance of two, and how many there are."""

    index: str
    first: str = ""
    step: str = ""
    count: str = ""


_ARRAYS = (
    _Array("AWS_BATCH_JOB_ARRAY_INDEX", count="AWS_BATCH_JOB_ARRAY_SIZE"),
    _Array("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_STEP", "SLURM_ARRAY_TASK_COUNT"),
    _Array("JOB_COMPLETION_INDEX"),
)


def _parse(text: str) -> Part | AutoPart | None:
    if not text:
        return None
    number, _, of = text.strip().partition("/")
    if not _is_count(of):
        raise ValueError(text)
    if number.casefold() == "auto":
        return AutoPart(int(of))
    if not (number.isascii() and number.isdigit() and len(number) <= 9 and 1 <= int(number) <= int(of)):
        raise ValueError(text)
    return Part(int(number), int(of))


def _hint(text: str) -> str:
    number, _, of = text.strip().partition("/")
    return f"parts are counted from 1: 1/{of} to {of}/{of}" if number.isdigit() and _is_count(of) else ""


def _is_count(of: str) -> bool:
    return of.isascii() and of.isdigit() and len(of) <= 9 and 1 <= int(of) <= MOST_PARTS


PART = Rule(_parse, f"like 3/16: one of 1/16 to 16/16, or auto/16 (up to {MOST_PARTS})", _hint)


def numbered(part: Part | AutoPart, environ: Mapping[str, str]) -> Part:
    """Which part it is, by the scheduler's variables where that is to be found out. Raises SettingsError where they do not say."""
    if isinstance(part, Part):
        return part
    array = next((array for array in _ARRAYS if environ.get(array.index)), None)
    if array is None:
        names = ", ".join(array.index for array in _ARRAYS)
        raise SettingsError(
            f"PART={part} asks for the index of an array job, and there is none ({names} are not set): set PART=1/{part.of}, ..."
        )
    index, first, step = _number(environ, array.index), _number(environ, array.first), _number(environ, array.step) or 1
    count = _number(environ, array.count) or part.of
    if count != part.of:  # of a task that is started again alone the first index is its own
        raise SettingsError(
            f"PART={part}, and the array job has {count} tasks ({array.count}): start as many tasks as there are parts, or name the part"
            f" (PART=1/{part.of}, ...)"
        )
    number = (index - first) // step + 1
    if not 1 <= number <= part.of:
        raise SettingsError(f"PART={part}, and {array.index}={index} is not one of {part.of} tasks: start as many tasks as there are parts")
    return Part(number, part.of)


def _number(environ: Mapping[str, str], name: str) -> int:
    text = environ.get(name, "").strip()
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise SettingsError(f"{name} is no whole number, and PART=auto needs it: set PART=1/16, ...")
    return int(text)
