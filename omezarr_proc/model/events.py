"""What happens while an image is made, as whoever shows it is told."""

from dataclasses import dataclass
from typing import Protocol


class Progress(Protocol):
    """Who wants to know how far an image is; called by the thread that converts."""

    def start(self, name: str, total: int, unit: str = "px", done: int = 0) -> None:
        """Begin an image, or a part of the work on it.

        total  in pixels of all levels, planes and channels (`unit` "px"), or in stored bytes that are read back ("B")
        done   what an earlier run has done of it, in the same unit
        """

    def advance(self, units: int) -> None:
        """So many pixels more are stored, or bytes read back."""


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
