"""The pages of the files of one set: every directory seen, like pages told from unlike ones, planes made of them.

Two pages share a Layout only where all tags are equal on which decoding depends; tifffile interprets the first of each kind. Segments
that point outside their file, or are missing, are found here, before any work.
"""

import hashlib
from dataclasses import replace

import numpy as np
import tifffile

from omezarr_proc.model.errors import InputError, UnsupportedInputError
from omezarr_proc.model.image import FileState, Layout, Plane
from omezarr_proc.tiff.describe import ndpi
from omezarr_proc.tiff.file import tags
from omezarr_proc.tiff.file.budget import PLANE_BYTES, SEGMENT_BYTES, Budget
from omezarr_proc.tiff.file.files import Files
from omezarr_proc.tiff.file.ifd import Ifd, Ifds
from omezarr_proc.tiff.read import decode, photometric
from omezarr_proc.tiff.read.colours import ICC_PROFILE, is_profile

# What decoding a page depends on: two pages that are equal in these can be decoded alike.
_DECIDING = (
    tags.IMAGE_WIDTH, tags.IMAGE_LENGTH, tags.BITS_PER_SAMPLE, tags.COMPRESSION, tags.PHOTOMETRIC_INTERPRETATION, tags.FILL_ORDER,
    tags.SAMPLES_PER_PIXEL, tags.ROWS_PER_STRIP, tags.PLANAR_CONFIGURATION, tags.T4_OPTIONS, tags.PREDICTOR, tags.COLOR_MAP,
    tags.TILE_WIDTH, tags.TILE_LENGTH, tags.EXTRA_SAMPLES, tags.SAMPLE_FORMAT, tags.YCBCR_COEFFICIENTS, tags.YCBCR_SUB_SAMPLING,
    tags.REFERENCE_BLACK_WHITE, tags.IMAGE_DEPTH, tags.TILE_DEPTH,
    ndpi.MCU_STARTS,
)  # fmt: skip


class Pages:
    """Files by number in the order in which they were named; layouts as planes are made.

    files           open them
    lookup_tables   palettes only show intensities (OME-TIFF, ImageJ): pixels are the indices. Else each palette is looked at.
    sparse_allowed  segments of offset and byte count 0 are empty (plain TIFF, as GDAL writes it), else missing (OME-TIFF)
    to_srgb         colours by an ICC profile become sRGB
    sparse          (file, IFD offset) of pages with such segments
    states          of the files when they were opened
    """

    def __init__(self, files: Files, lookup_tables: bool, sparse_allowed: bool, budget: Budget, to_srgb: bool = False) -> None:
        self.files = files
        self.lookup_tables = lookup_tables
        self.sparse_allowed = sparse_allowed
        self.budget = budget
        self.to_srgb = to_srgb
        self.sparse: set[tuple[int, int]] = set()
        self.paths: list[str] = []
        self.states: list[FileState] = []
        self.chains: list[list[Ifd]] = []
        self.layouts: list[Layout] = []
        self._layout_numbers: dict[Layout, int] = {}
        self._numbers: dict[str, int] = {}
        self._kinds: dict[bytes, tuple[int, photometric.Pixels]] = {}
        self._kind_of: dict[tuple[int, int], tuple[int, photometric.Pixels]] = {}
        self._checked: set[tuple[int, int]] = set()
        self._encoded: dict[int, int] = {}
        self._tags: dict[int, int] = {}
        self._offsets_read: dict[int, int] = {}
        self._digest = hashlib.sha256()

    @property
    def fingerprint(self) -> str:
        """Hex digest of each file's size, time of change, header and directories."""
        return self._digest.hexdigest()

    def file(self, path: str) -> int:
        """The number of a file; it is opened when it is new. Raises InputError when it is no readable TIFF."""
        if path in self._numbers:
            return self._numbers[path]
        number = self._numbers[path] = len(self.paths)
        self.paths.append(path)
        ifds = self.ifds(number)
        self.chains.append(ifds.chain())
        state = ifds.source.identity
        self.states.append(state)
        self._digest.update(f"{state.size} {state.mtime_ns} {state.etag}".encode() + ifds.head)
        for ifd in self.chains[number]:
            ndpi.check(ifds, ifd)
            self._digest.update(ifd.entries)
        return number

    def ifds(self, number: int) -> Ifds:
        """An open file by its number."""
        return self.files.ifds(self.paths[number])

    def kind(self, number: int, ifd: Ifd) -> tuple[int, photometric.Pixels]:
        """The layout's number and the pixels of a page. Raises InputError for a page that cannot be decoded faithfully."""
        place = number, ifd.offset
        if place in self._kind_of:
            return self._kind_of[place]
        ifds = self.ifds(number)
        parts = [ifds.order.encode()]
        for code in (*_DECIDING, ICC_PROFILE) if self.to_srgb else _DECIDING:
            tag = ifd.tags.get(code)
            if tag is not None:
                parts.append(b"%d %d %d " % (code, tag.kind, tag.number) + (ifds.raw(tag) if tag.size <= 1 << 20 else tag.field))
        signature = b"|".join(parts)
        known = self._kinds.get(signature)
        if known is None:
            self.budget.keep(len(signature))
            known = self._kinds[signature] = self._interpret(number, ifd)
        self._kind_of[place] = known
        return known

    def plane(self, number: int, ifd: Ifd, sample: int = 0) -> Plane:
        """The plane of one page, or of one of its samples; its segments are checked. Raises InputError."""
        layout, shown = self.kind(number, ifd)
        self.budget.keep(PLANE_BYTES)
        if (number, ifd.offset) not in self._checked:
            self._checked.add((number, ifd.offset))
            self._check(number, ifd, layout, shown)
        return Plane(number, ifd.offset, layout, sample)

    def profile(self, number: int, ifd: Ifd) -> bytes | None:
        """The ICC profile of a page; None where it has none, or none that begins like one."""
        tag, ifds = ifd.tags.get(ICC_PROFILE), self.ifds(number)
        if tag is None or tag.size > ifds.size:
            return None
        self.budget.keep(tag.size)
        data = ifds.raw(tag)
        return data if is_profile(data) else None

    def finished_layout(self, number: int) -> Layout:
        """A layout, with the largest encoded segment and the largest tags that were seen of it."""
        return replace(self.layouts[number], encoded_bytes=self._encoded.get(number, 0), tags_bytes=self._tags.get(number, 0))

    def _interpret(self, number: int, ifd: Ifd) -> tuple[int, photometric.Pixels]:
        path = self.paths[number]
        ifds, first = self.ifds(number), self.chains[number][0]
        taken = sum(decode.tags_bytes(one.tags, ifds.size) for one in {first.offset: first, ifd.offset: ifd}.values())
        self.budget.need(taken)
        try:
            with decode.open_file(ifds) as file:
                page = decode.page_at(file, ifd.offset, ifd.offset == file.pages.first.offset)
                shown = photometric.pixels(page, not self.lookup_tables and not photometric.is_lookup_table(page), self.to_srgb)
                layout = decode.layout(page, shown)
        except photometric.UnsupportedError as error:
            raise UnsupportedInputError(f"page {self._page(number, ifd)} cannot be read: {error}", source=path) from error
        except MemoryError:
            raise
        except Exception as error:
            said = str(error).splitlines()[:1] if isinstance(error, tifffile.TiffFileError) else []
            reason = said[0][:160] if said else "its tags contradict each other"  # what Python says of it tells nobody anything
            raise InputError(
                f"page {self._page(number, ifd)} is unreadable ({reason}); the file is corrupt or not supported", source=path
            ) from error
        number_of = self._layout_numbers.setdefault(layout, len(self.layouts))
        if number_of == len(self.layouts):
            self.layouts.append(layout)
        self._tags[number_of] = max(self._tags.get(number_of, 0), taken)
        return number_of, shown

    def _check(self, number: int, ifd: Ifd, kind: int, shown: photometric.Pixels) -> None:
        ifds, layout = self.ifds(number), self.layouts[kind]
        tiled = tags.TILE_OFFSETS in ifd.tags
        places = tags.TILES if tiled else tags.STRIPS
        stated = [ifd.tags[code] for code in places if code in ifd.tags]
        most = min(max((tag.number for tag in stated), default=0), ifds.size)
        self.budget.check_segments(most)
        self.budget.need(SEGMENT_BYTES * most)
        self._offsets_read[number] = self._offsets_read.get(number, 0) + (stated[0].size if most > 1 else 0)
        if self._offsets_read[number] > ifds.size:  # whole pages would be looked at again and again
            raise InputError("its pages share their lists of segments; the file is corrupt", source=ifds.path)
        self._tags[kind] = max(self._tags.get(kind, 0), decode.tags_bytes(ifd.tags, ifds.size))
        offsets, counts = (ifds.integers(ifd, code) for code in places)
        path = ifds.path
        across, down = -(-layout.width // layout.segment_width), -(-layout.height // layout.segment_height)
        needed = across * down * shown.planes
        if layout.compression == "ojpeg" or (len(offsets) and not len(counts)):
            return
        if len(offsets) == 1 < needed:
            offsets, counts = ndpi.pieces(ifds, ifd) or (offsets, counts)
        if min(len(offsets), len(counts)) < needed:
            least = min(len(offsets), len(counts))
            raise InputError(
                f"page {self._page(number, ifd)} has {least} of {needed} segments; the file is cut off or corrupt", source=path
            )
        offsets, counts = offsets[:needed], counts[:needed]
        if layout.compression.startswith("ccitt") and needed == 1 and not counts[0]:
            return
        values = layout.height * layout.width * shown.stored_samples * shown.planes
        if layout.raw:  # how much is needed is known, and some writers state nonsense
            most = layout.segment_height * layout.segment_width * shown.stored_samples * shown.stored.itemsize
            counts = np.minimum(counts, min(most, ifds.size + 1))
            whole = most * needed if tiled else values * shown.stored.itemsize
        else:  # a byte gives no more than so many pixels, of one bit in the extreme
            whole = values // 8 // decode.MAX_RATIO.get(layout.compression, 1 << 62)
        there = (offsets != 0) | (counts != 0) | (not self.sparse_allowed)
        if not there.all():
            self.sparse.add((number, ifd.offset))
        bad = there & ((offsets <= 0) | (counts <= 0) | (offsets + counts > ifds.size))
        if bad.any():
            index = int(np.argmax(bad))
            raise InputError(
                f"page {self._page(number, ifd)}, segment {index}: {counts[index]} bytes at byte {offsets[index]} "
                f"are not in the file of {ifds.size} bytes; it is cut off or corrupt",
                source=path,
            )
        if there.all() and int(counts.sum()) < whole:
            raise InputError(
                f"page {self._page(number, ifd)} claims {layout.width} x {layout.height} pixels, but has {counts.sum()} bytes; "
                "the file is cut off or corrupt",
                source=path,
            )
        self._encoded[kind] = max(self._encoded.get(kind, 0), int(counts.max()))

    def _page(self, number: int, ifd: Ifd) -> int:
        offsets = [other.offset for other in self.chains[number]] if number < len(self.chains) else []
        return offsets.index(ifd.offset) if ifd.offset in offsets else -1
