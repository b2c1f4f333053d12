"""The files of one image, open in a worker: pages on demand, the bytes of segments by number, every byte range checked.

Nothing that is missing becomes zeros: a segment without bytes or outside the file is an error that names file, image, plane and
segment. The one exception is a plain TIFF (not OME-TIFF) as GDAL writes it, where offset and byte count 0 together mean "empty": its
pixels have the no-data value, or 0. (GDAL: "Sparse files" in the GTiff driver's documentation.)
"""

import contextlib
import errno
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import tifffile

from omezarr_proc.host.store_errors import PASSING
from omezarr_proc.model.address import is_address
from omezarr_proc.model.errors import InputError, ProcError, StoreUnavailableError
from omezarr_proc.model.image import Image, Plane
from omezarr_proc.model.text import first_line
from omezarr_proc.plan.kept import CACHED_PAGES, OPEN_FILES
from omezarr_proc.tiff.file.bytes import Opener, ended, open_bytes
from omezarr_proc.tiff.file.files import Files
from omezarr_proc.tiff.file.ifd import Ifds
from omezarr_proc.tiff.read import decode
from omezarr_proc.tiff.read.page import Page, PageError, alike, interpreted

_KEPT_SEGMENTS = 1 << 15
_FORESEEN = 32  # planes whose directories are asked for together
_DIRECTORY = 8 << 10  # bytes of one, with the small values that stand behind it


@dataclass
class _File:
    tiff: tifffile.TiffFile
    ifds: Ifds
    kinds: dict[int, Page]


class Source:
    """The pages and encoded segments of an image's files. Few descriptors: the files used last stay open."""

    def __init__(self, image: Image, opener: Opener | None = None) -> None:
        self.image = image
        known = {state.path: state for state in image.states}
        self._files = Files(
            OPEN_FILES, opener=opener or (lambda path: open_bytes(path, known.get(path), alone=len(known) == 1)), closed=self._forget
        )
        self._opened: dict[str, _File] = {}
        self._pages: OrderedDict[tuple[int, int], Page] = OrderedDict()
        self._foreseen: set[Plane] = set()

    def close(self) -> None:
        """Close all files."""
        self._files.close()
        self._opened.clear()
        self._pages.clear()

    def page(self, plane: Plane) -> Page:
        """The page of a plane. Raises InputError when it is not what was planned with."""
        key = plane.file, plane.ifd
        if key in self._pages:
            self._pages.move_to_end(key)
            return self._pages[key]
        file = self._file(plane)
        if file.ifds.source.distant:
            self._foresee(plane)
        like = file.kinds.get(plane.layout)
        layout = self.image.layouts[plane.layout]
        with self._reading(plane):
            try:
                page = (like and alike(like, file.tiff, file.ifds, plane.ifd, layout)) or interpreted(file.tiff, plane.ifd, layout)
            except PageError as error:
                raise self.error(plane, str(error)) from error
        file.kinds.setdefault(plane.layout, page)
        self._pages[key] = page
        if len(self._pages) > CACHED_PAGES and not (file.ifds.source.distant and self._small_pages()):
            self._pages.popitem(last=False)
        return page

    def _small_pages(self) -> bool:
        """Whether the pages that are kept are small: more of them then, since each is looked at a while before it is read."""
        return len(self._pages) * max(len(page.offsets) for page in self._pages.values()) <= _KEPT_SEGMENTS

    def _foresee(self, plane: Plane) -> None:
        """Ask for the directories of the planes that come after one, which are looked at in that order: each would be asked for alone."""
        if plane in self._foreseen:
            return
        first = self.image.planes.index(plane)
        coming = [one for one in self.image.planes[first : first + _FORESEEN] if one and one.file == plane.file]
        self._foreseen = set(coming)
        self.ahead((one, one.ifd, _DIRECTORY) for one in dict.fromkeys(coming))

    def extent(self, plane: Plane, index: int) -> tuple[int, int] | None:
        """Byte offset and count of a plane's segment, inside the file; None for an empty segment of a sparse file."""
        page, layout = self.page(plane), self.image.layouts[plane.layout]
        number = decode.segments_of(page.tiff)
        frame, sample = divmod(plane.sample, page.shown.planes)
        index += sample * number
        if index >= len(page.offsets) or index >= len(page.counts):
            raise self.error(
                plane, f"segment {index} is not in the file ({len(page.offsets)} of {number * page.shown.planes} segments are)"
            )
        offset, count = int(page.offsets[index]), int(page.counts[index])
        size = self._file(plane).ifds.size
        if offset == 0 and count == 0 and self.image.ome_xml is None:
            return None
        if layout.raw:
            count = min(count, layout.segment_bytes)
        if offset <= 0 or count <= 0 or offset + count > size:
            raise self.error(
                plane, f"segment {index} is not in the file ({count} bytes at byte {offset}, the file has {size}); copy the file again"
            )
        if frame:  # a stack of raw planes behind one IFD
            offset += frame * page.shown.planes * layout.height * layout.width * page.shown.stored_samples * page.shown.stored.itemsize
            if offset + count > size:
                raise self.error(plane, f"it ends outside the file of {size} bytes; copy the file again")
        return offset, count

    def read(self, plane: Plane, offset: int, count: int) -> bytes:
        """Exactly `count` bytes of the plane's file."""
        return self.read_all(plane, [(offset, count)])[0]

    def read_all(self, plane: Plane, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Exactly the bytes of each range (offset, count) of the plane's file."""
        with self._reading(plane):
            found = self._file(plane).ifds.source.read(ranges)
            for (offset, count), data in zip(ranges, found, strict=True):
                if len(data) < count:
                    raise ended(offset + len(data))
            return found

    def read_into(self, plane: Plane, parts: Sequence[tuple[int, memoryview]]) -> None:
        """Fill each view with the bytes at its offset."""
        with self._reading(plane):
            self._file(plane).ifds.source.read_into(parts)

    def mapped(self, plane: Plane, offset: int, count: int) -> memoryview:
        """The bytes at `offset` as file-backed memory, freed with its last view."""
        return self._file(plane).ifds.source.mapped(offset, count)

    def distant(self, plane: Plane) -> bool:
        """Whether the plane's file is worth being asked ahead."""
        return self._file(plane).ifds.source.distant

    def ahead(self, ranges: Iterable[tuple[Plane, int, int]]) -> None:
        """Begin to fetch what will be read soon, in this order: bytes (offset, count) of the files of planes."""
        files: dict[int, list[tuple[int, int]]] = {}
        last = {}
        for plane, offset, count in ranges:
            files.setdefault(plane.file, []).append((offset, count))
            last[plane.file] = plane
        for number, wanted in files.items():
            self._file(last[number]).ifds.source.ahead(wanted)

    def error(self, plane: Plane, what: str, kind: type[ProcError] = InputError) -> ProcError:
        """An error that says where: file, image, plane."""
        image = self.image
        where = f"IFD at byte {plane.ifd}"
        try:
            groups = image.size_c // image.layouts[plane.layout].samples
            number = image.planes.index(plane)
            t, z = divmod(number // groups, image.size_z)
            where = f"t={t + image.origin.get('t', 0)} c={number % groups} z={z + image.origin.get('z', 0)}"
        except (ValueError, ZeroDivisionError):
            pass
        return kind(f"image {image.series}, plane {where}: {what}", source=image.files[plane.file])

    @contextlib.contextmanager
    def _reading(self, plane: Plane) -> Iterator[None]:
        """Say where the storage failed, or the file ends."""
        try:
            yield
        except EOFError as error:
            raise self.error(plane, f"{error}; copy it again") from error
        except OSError as error:
            raise self._failed(plane, error) from error

    def _failed(self, plane: Plane, error: OSError) -> ProcError:
        """What to raise where a file cannot be read. A store that does not answer is not the file's fault: what is finished is kept."""
        kind: type[ProcError] = InputError
        if is_address(self.image.files[plane.file]) and error.errno != errno.ESTALE:
            kind = StoreUnavailableError if error.errno in PASSING else ProcError
        return self.error(plane, f"the file cannot be read ({error.strerror}); check its storage, then run again", kind)

    def _file(self, plane: Plane) -> _File:
        path = self.image.files[plane.file]
        try:
            ifds = self._files.ifds(path)
            file = self._opened.get(path)
            if file is None:
                file = self._opened[path] = _File(decode.open_file(ifds), ifds, {})
            return file
        except OSError as error:  # not the file's fault: another run may be able to
            if is_address(path):
                raise self._failed(plane, error) from error
            raise self.error(plane, f"the file cannot be opened ({first_line(error)})", ProcError) from error
        except Exception as error:
            raise self.error(plane, f"the file cannot be opened ({first_line(error)})") from error

    def _forget(self, path: str) -> None:
        """Let go of what hangs on a file that was closed."""
        self._opened.pop(path, None)
        for key in [key for key in self._pages if self.image.files[key[0]] == path]:
            del self._pages[key]
