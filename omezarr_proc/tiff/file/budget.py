"""What opening one input may take: memory for its metadata, and time. Asked before memory is taken, and in every loop over a file's claims.

The constants are measured (Python 3.12): what one value takes in the main process with the containers that hold it, rounded up.
"""

import time
from dataclasses import dataclass

from omezarr_proc.host.limits import Limits
from omezarr_proc.model.errors import CeilingError, LimitError, OutOfTimeError
from omezarr_proc.plan.memory import limit_for_metadata, metadata_bytes

MB = 1 << 20
PAGE_BYTES = 800  # a directory beside its entries, its kind and number
PLANE_BYTES = 300  # a plane of an image, while it is put in order
ELEMENT_BYTES = 400  # an element of OME-XML that is kept (TiffData, Channel, Image), beside its text
VALUE_BYTES = 40  # an integer of a tag as tifffile holds it
SEGMENT_BYTES = 64  # offset and byte count of a segment while they are checked
DEFAULT_BYTES = 1 << 30
DEFAULT_SEGMENTS = 1 << 24


@dataclass(kw_only=True)
class Budget:
    """The budget of one input, and what of it is used.

    source    the input, for messages
    bytes     all that its metadata may take in the main process
    segments  most segments of a page (MAX_SEGMENTS)
    deadline  when to stop in good order, as time.monotonic() counts
    limits    of which `bytes` are a part
    """

    source: str
    bytes: int = DEFAULT_BYTES
    segments: int = DEFAULT_SEGMENTS
    deadline: float | None = None
    limits: Limits | None = None
    used: int = 0

    @classmethod
    def within(cls, limits: Limits, *, source: str, segments: int = DEFAULT_SEGMENTS, deadline: float | None = None) -> "Budget":
        """With what the memory limit leaves for metadata."""
        return cls(source=source, bytes=metadata_bytes(limits), segments=segments, deadline=deadline, limits=limits)

    def need(self, number: int = 0) -> None:
        """Ask for `number` bytes for a while. Raises LimitError when they are too many, OutOfTimeError when time is up."""
        if self.used + number > self.bytes:
            text = (
                f"its metadata (pages, places of segments, OME-XML) take more than the {self.bytes / MB:.1f} MB"
                " that the memory limit leaves for them"
            )
            raise LimitError(
                text if self.bytes else "the memory limit is too low for any image",
                source=self.source,
                hint=f"give it {self._enough(self.used + number)}",
            )
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise OutOfTimeError("not begun, since time is up", source=self.source, hint="run it again to go on")

    def _enough(self, number: int) -> str:
        return "more memory" if self.limits is None else f"{-(-limit_for_metadata(self.limits, number) // MB)} MB at least"

    def keep(self, number: int) -> None:
        """Ask for `number` bytes for as long as the input is open. Raises as `need` does."""
        self.need(number)
        self.used += number

    def check_segments(self, number: int) -> None:
        """Raise LimitError for more segments than a page may have."""
        if number > self.segments:
            raise CeilingError(
                f"a page has {number} segments (tiles or strips), more than MAX_SEGMENTS={self.segments};"
                " write it with larger tiles, or raise MAX_SEGMENTS",
                source=self.source,
            )
