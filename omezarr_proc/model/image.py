"""One input image as plain values: made by `tiff`, planned by `plan`, sent to the workers, read by `tiff.read`.

An image has axes t, c, z, y, x. What is stored together in the TIFF is a `Plane`: one t, z and, in c, `samples` channels (3 for
interleaved RGB, else 1). Nothing here holds pixels or an open file, so every value can be pickled and compared.
"""

import dataclasses
from dataclasses import dataclass

from omezarr_proc.model.address import is_address
from omezarr_proc.model.plate import Field


@dataclass(frozen=True)
class Rect:
    """Rows y0..y1 and columns x0..x1 (ends excluded), in pixels."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def height(self) -> int:
        """Rows."""
        return self.y1 - self.y0

    @property
    def width(self) -> int:
        """Columns."""
        return self.x1 - self.x0


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How the planes of one kind are cut into segments (TIFF tiles or strips), and what decoding one of them takes.

    height, width           of a plane, in pixels
    samples                 interleaved in a segment as it is *yielded by the reader* (palette images: 3)
    segment_height, _width  of a whole segment, in pixels (strips: rows per strip, plane width)
    dtype                   numpy name of the pixels that the reader yields, native byte order ("uint16")
    compression             lower-case name of the TIFF compression ("none", "deflate", "lzw", "jpeg", "jpeg2000", ...)
    tiled                   the segments are tiles, not strips; a tile may be as wide as the plane
    raw                     rows can be read by byte range: no compression, predictor or packed bits
    stream                  a segment can be decoded from its begin in pieces, without holding it (Deflate)
    spool                   a segment can be decoded straight into a memory-mapped file, whole rows at a time or not
    segment_bytes           one decoded segment
    encoded_bytes           the largest encoded segment of the image's planes, as far as it is known (else 0)
    tags_bytes              memory that the tags of a page and of its file's first one take when they are read, at most
    colours                 hex digest of the colour map, or of the numbers, by which values become colours; empty where they are colours
    profile                 hex digest of the ICC profile from whose colours the pixels are converted to sRGB; empty where they are not
    decode_factor           memory to decode a segment, in decoded segments, beside the encoded bytes (JPEG 2000: some 5)
    """

    height: int
    width: int
    samples: int
    segment_height: int
    segment_width: int
    dtype: str
    compression: str = "none"
    tiled: bool = False
    raw: bool = False
    stream: bool = False
    spool: bool = False
    segment_bytes: int = 0
    encoded_bytes: int = 0
    tags_bytes: int = 0
    colours: str = ""
    profile: str = ""
    decode_factor: float = 1.0

    @property
    def cut_across(self) -> bool:
        """Whether a row of the plane lies in several segments."""
        return self.segment_width < self.width


@dataclass(frozen=True, slots=True)
class Plane:
    """Where the pixels of one plane are.

    file    index in Image.files
    ifd     byte offset of the IFD that says where the segments are
    layout  index in Image.layouts
    sample  which plane behind the IFD: one of its samples with PlanarConfiguration 2, one of the stack that some writers (ImageJ, tifffile)
            put raw behind a single IFD, or both: `frame * samples + sample`. 0 where the IFD has one plane
    """

    file: int
    ifd: int
    layout: int = 0
    sample: int = 0


@dataclass(frozen=True)
class Channel:
    """One channel as the file describes it: nothing invented."""

    name: str | None = None
    color: str | None = None  # six hex digits
    emission: float | None = None  # nanometre


@dataclass(frozen=True)
class AxisSize:
    """The physical extent of one step along an axis, with the unit's NGFF (UDUNITS-2) name."""

    value: float
    unit: str


@dataclass(frozen=True, kw_only=True)
class FileState:
    """What tells whether a file is still the same: absolute path, bytes, times of the last change in ns, number in its file system.

    Of an object: its address, bytes and ETag; all else is 0, but the time of its last change where it has no ETag.
    """

    path: str
    size: int
    mtime_ns: int
    inode: int
    ctime_ns: int
    etag: str = ""


@dataclass(frozen=True, kw_only=True)
class Image:
    """One image (OME `Image`, TIFF series): its shape, where its planes are, what its metadata says.

    source       absolute path of the input, which messages name; with a companion file, of the file that was given
    files        absolute paths of all TIFF files that belong to it, of its set too
    series       number of the image in its file, from 0
    planes       in the order t, z, channel group: planes[(t * size_z + z) * groups + g], groups = size_c // layouts[...].samples;
                 None where the file has no such plane and the settings ask to fill it
    dtype        numpy name of what the reader yields; stored_dtype what the dataset holds (float32 for float64; docs/output.md lists all)
    sizes        keys "x", "y", "z" (space) and "t" (time); absent where the file states none
    magnification  of the objective, where a slide scanner states it
    ome_xml      the document that describes it, empty where that is of more than it; None where there is none
    ome_places   where each image stands in that document, in bytes (UTF-8); empty where it is of one alone, or is broken
    field        its place on a well plate, where it has one
    profile      the ICC profile of its first page, whose colours the pixels are in; None where there is none, or they are sRGB by it
    notes        what the user should know and the log should say ("pages are taken as z", ...)
    ground       the pixels of each plane that the image is of, where it is a part of them; None: all
    origin       axes "t", "z", "y", "x": where the image begins in that which it is a part of, in its steps; absent: at its begin
    reduced_by   the planes and layouts are of a stored level whose sides are this many times smaller than height and width (rounded up)
    fingerprint  hex digest of what identifies the source: for each member file its size, mtime, header and IFDs
    states       of all files that were read, a companion too, when they were opened
    """

    source: str
    files: tuple[str, ...]
    series: int
    name: str
    size_t: int
    size_c: int
    size_z: int
    height: int
    width: int
    dtype: str
    stored_dtype: str
    rgb: bool  # photometric RGB (or YCbCr or palette shown as RGB)
    layouts: tuple[Layout, ...]
    planes: tuple[Plane | None, ...]
    channels: tuple[Channel, ...]
    sizes: dict[str, AxisSize] = dataclasses.field(default_factory=dict)
    magnification: float | None = None
    ome_xml: str | None = None
    ome_places: tuple[tuple[int, int], ...] = ()
    field: Field | None = None
    profile: bytes | None = None
    notes: tuple[str, ...] = ()
    ground: Rect | None = None
    origin: dict[str, int] = dataclasses.field(default_factory=dict)
    reduced_by: int = 1
    fingerprint: str = ""
    states: tuple[FileState, ...] = ()

    @property
    def in_srgb(self) -> bool:
        """Whether its colours are converted by their profile."""
        return any(layout.profile for layout in self.layouts)

    @property
    def distant(self) -> bool:
        """Whether it lies in an object store."""
        return any(map(is_address, self.files))

    @property
    def plane_size(self) -> tuple[int, int]:
        """Height and width of what the image has of each of its planes, in pixels of these."""
        layout = self.layouts[0]
        return (self.ground.height, self.ground.width) if self.ground else (layout.height, layout.width)

    @property
    def source_shape(self) -> tuple[int, int, int, int, int]:
        """Of all its pixels as its planes have them: t, c, z, y, x."""
        return self.size_t, self.size_c, self.size_z, *self.plane_size

    @property
    def own_ome_xml(self) -> bytes:
        """Its OME-XML as it is, but for the other images of the document."""
        data = (self.ome_xml or "").encode()
        kept = bytearray()
        done = 0
        for number, (start, end) in enumerate(self.ome_places):
            kept += data[done:end] if number == self.series else data[done:start].rstrip()
            done = end
        return bytes(kept + data[done:])

    def alone(self) -> "Image":
        """It without the other images of its set or plate: only its planes' files, and of the text only whether there is one."""
        numbers = {file: number for number, file in enumerate(dict.fromkeys(plane.file for plane in self.planes if plane is not None))}
        without = dataclasses.replace(self, ome_xml=self.ome_xml and "", ome_places=(), field=None)
        if len(numbers) == len(self.files):
            return without
        files = dict.fromkeys(self.files[file] for file in numbers)
        planes = tuple(plane and dataclasses.replace(plane, file=numbers[plane.file]) for plane in self.planes)
        states = tuple(state for state in self.states if state.path in files)
        return dataclasses.replace(without, files=tuple(files), planes=planes, states=states)
