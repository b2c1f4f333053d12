"""What happens while an image is made, as whoever shows it is told."""

from dataclasses import dataclass
from typing import Literal, Protocol

# open: metadata are read, the lock is waited for; resume: what an earlier run has finished is read back; levels: pixels become chunks;
# windows: display ranges; publish: all is flushed, checked and given its name;
# certificate: digests are taken of what was read and of what is there.
Phase = Literal["open", "resume", "levels", "windows", "publish", "certificate"]


class Progress(Protocol):
    """Who wants to know how far an image is; called by the thread that converts."""

    def start(self, name: str, total: int, unit: str = "px", done: int = 0) -> None:
        """Begin an image, or a part of the work on it.

        total  in pixels of all levels, planes and channels (`unit` "px"), or in stored bytes that are read back ("B")
        done   what an earlier run has done of it, in the same unit
        """

    def advance(self, amount: int) -> None:
        """So many pixels more are stored, or bytes read back."""

    def phase(self, phase: Phase) -> None:
        """What is done from now on, until the next phase or the end of the image."""

    def retry(self, reason: str) -> None:
        """Something was lost, and the work goes on without it."""

    def peak(self, memory: int | None) -> None:
        """The most bytes that all processes together have taken for the image, however it ends; None where that cannot be measured."""


@dataclass(frozen=True, kw_only=True)
class Advice:
    """What a person should know of an image before it is converted.

    event    its name in JSON logs
    text     one line
    summary  the same without what only this image has
    """

    level: Literal["INFO", "WARNING"]
    event: str
    text: str
    summary: str


@dataclass(frozen=True, kw_only=True)
class Begun:
    """One image that is going to be converted.

    source  the input, and `series` the number of the image in it
    target  where the dataset will be
    shape   of the base level, axes as stored
    objects chunks and documents: files, or objects in a store
    """

    source: str
    series: int
    target: str
    shape: tuple[int, ...]
    levels: int
    objects: int


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One converted image.

    shape   of the base level, axes as stored
    pixels  read at full resolution in `seconds`, over all planes and channels: without what an earlier run has finished
    """

    name: str
    shape: tuple[int, ...]
    levels: int
    chunks: int
    stored_bytes: int
    seconds: float
    pixels: int
    peak_bytes: int | None = None  # of all processes together; None where it cannot be measured

    @property
    def megapixels_per_second(self) -> float:
        """Full-resolution pixels read per second, in millions."""
        return self.pixels / 1e6 / self.seconds if self.seconds > 0 else 0.0
