"""The ways to read a layout's pixels, each with what it takes. Pure; `tiff.read.reader` does what is decided here.

A layout has each of the ways by name; which is taken is decided by `choose`.
"""

import math

from omezarr_proc.model.image import Layout
from omezarr_proc.model.region import ceil_div

MB = 1 << 20

# A segment above this size is decoded as a stream where its codec can do that.
STREAM_ABOVE = 8 * MB
# Pieces of pixels on their way, and the tables of a decoder.
_PIECE_BYTES = 4 * MB
# A band is cut into loads at every so many rows of the level where any row can be read for itself.
_CUT_ROWS = 16


class Access:
    """What a way to read takes; here, of one that reads any rows for themselves. `d` source pixels make one of the level on each axis."""

    def load_bytes(self, layout: Layout) -> int:
        """Memory that reading takes in one worker, beside the slot and partial sums."""
        return _PIECE_BYTES

    def open_rows(self, layout: Layout, d: int) -> int:
        """Rows of the level of which partial sums are open at once, at most, where segments end within boxes."""
        return 2

    def amplification(self, layout: Layout, planes: int, height: int, width: int) -> float:
        """Segments decoded, over segments there are, when bands of `planes` x `height` x `width` source pixels are loaded."""
        return 1.0

    def cut_lines(self, layout: Layout, d: int) -> tuple[int, int]:
        """Where a band may be cut into loads so that nothing is decoded twice: each so many rows and columns of the level; 0: nowhere."""
        return _CUT_ROWS, 0


class Rows(Access):
    """Uncompressed: byte ranges, never more than asked for."""


class Spool(Access):
    """Each plane is decoded once into a file, from which rows are read as if they had never been encoded."""


class Segment(Access):
    """Each segment that a load touches is decoded whole."""

    def load_bytes(self, layout: Layout) -> int:
        """See `Access`."""
        return _PIECE_BYTES + int(layout.segment_bytes * layout.decode_factor) + layout.encoded_bytes

    def open_rows(self, layout: Layout, d: int) -> int:
        """See `Access`."""
        return layout.segment_height // d + 2

    def amplification(self, layout: Layout, planes: int, height: int, width: int) -> float:
        """See `Access`."""
        return decoded(layout.width, layout.segment_width, width) * decoded(layout.height, layout.segment_height, height)

    def cut_lines(self, layout: Layout, d: int) -> tuple[int, int]:
        """See `Access`."""
        columns = math.lcm(layout.segment_width, d) // d if layout.segment_width < layout.width else 0
        return math.lcm(layout.segment_height, d) // d, columns


class Stream(Access):
    """A huge segment is decoded from its begin in pieces; the next band below goes on where the last one ended.

    One decoder is open, so bands of several planes begin anew in each of them.
    """

    def amplification(self, layout: Layout, planes: int, height: int, width: int) -> float:
        """See `Access`."""
        across = decoded(layout.width, layout.segment_width, width)
        return across if planes == 1 else across * _from_the_begin(layout.height, layout.segment_height, height)

    def cut_lines(self, layout: Layout, d: int) -> tuple[int, int]:
        """See `Access`."""
        return 0, 0


ACCESSES: dict[str, Access] = {"rows": Rows(), "segment": Segment(), "stream": Stream(), "spool": Spool()}


def choose(layout: Layout, spool: bool) -> str:
    """The name of the access to a layout; `spool`: there is disk space for decoded planes."""
    if layout.raw:
        return "rows"
    whole_rows = layout.segment_bytes > STREAM_ABOVE and layout.segment_width == layout.width
    if whole_rows and layout.stream:
        return "stream"
    return "spool" if whole_rows and spool and layout.spool else "segment"


def decoded(length: int, segment: int, band: int) -> float:
    """How often a segment is decoded on average when bands of `band` pixels cut an axis of `length` pixels.

    Each cut that is no multiple of `segment` lies inside a segment, which is decoded once more.
    """
    cuts = ceil_div(length, band) - 1
    segments = ceil_div(length, segment)
    return (segments + cuts - cuts // (segment // math.gcd(segment, band))) / segments


def _from_the_begin(length: int, segment: int, band: int) -> float:
    """How often a pixel is decoded on average when each band of `band` pixels decodes the segments it touches from their begin."""
    bands = ceil_div(min(segment, length), band)
    return (band * bands * (bands - 1) / 2 + min(segment, length)) / min(segment, length)
