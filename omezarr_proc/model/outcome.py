"""What became of one image."""

from dataclasses import dataclass
from typing import Literal

from omezarr_proc.model.address import Place
from omezarr_proc.model.errors import ProcError


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One image, or one input whose images are not known since it could not be opened.

    source  the input
    status  "converted"; "skipped": its dataset is there already and was left as it is; "part": this run's part of it is done, and others
            go on with it; "failed"
    error   what went wrong, of a failed one
    reason  why it was skipped, or what of it was done

    The rest is of a converted one, else None: `shape` of the base level (axes as stored), number of `levels`, of `chunks` in all of them,
    `stored_bytes` that these take, `seconds` that it took.
    """

    source: str
    status: Literal["converted", "skipped", "part", "failed"]
    target: Place | None = None
    error: ProcError | None = None
    reason: str = ""
    shape: tuple[int, ...] | None = None
    levels: int | None = None
    chunks: int | None = None
    stored_bytes: int | None = None
    seconds: float | None = None

    @property
    def dataset(self) -> Place:
        """Where the dataset is. Raises the error of an image that failed, as a future's `result()` does."""
        if self.error is not None:
            raise self.error
        assert self.target is not None  # of all that have not failed
        return self.target
