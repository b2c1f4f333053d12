"""Where each plane of an OME image is: TiffData, or the order of the pages where there is none. Pure.

As Bio-Formats reads it (OME-TIFF specification, "The TiffData element"): a TiffData without PlaneCount is followed by the planes that
no other one names, one IFD each; one without IFD begins at the first; without any TiffData the pages follow DimensionOrder.
"""

from omezarr_proc.tiff.describe.omevalues import OmeXmlError
from omezarr_proc.tiff.describe.omexml import OmeImage, TiffData

MAX_PLANES = 2_000_000

Place = tuple[TiffData | None, int]  # whose file (None: the entry), and which IFD of it


def channel_groups(image: OmeImage, samples: int) -> tuple[int, int]:
    """How many planes one z and t have, each of `samples` channels, and the number of channels that makes.

    The pages decide the samples, as in Bio-Formats: a SizeC that is no multiple of them counts pages.
    """
    count, rest = divmod(image.size["C"], samples)
    if rest or not count:
        count = image.size["C"]
    return count, count * samples


def order(image: OmeImage, number: int) -> list[Place | None]:
    """The place of each plane in the order (t, z, channel group), `number` channel groups; None where the document names none.

    Raises OmeXmlError for more planes than any file has.
    """
    size = {"Z": image.size["Z"], "C": number, "T": image.size["T"]}
    total = size["Z"] * size["C"] * size["T"]
    if total > MAX_PLANES:
        raise OmeXmlError(f"{total} planes")
    stride, step = {}, 1
    for axis in image.order[2:]:
        stride[axis] = step
        step *= size[axis]
    places = _places(image, size, stride, total)
    return [
        places[t * stride["T"] + z * stride["Z"] + c * stride["C"]]
        for t in range(size["T"]) for z in range(size["Z"]) for c in range(size["C"])
    ]  # fmt: skip


def _places(image: OmeImage, size: dict[str, int], stride: dict[str, int], total: int) -> list[Place | None]:
    """The place of each plane in the order of the document: of several TiffData that name one, the last.

    A plane that none names follows the TiffData that ends where its gap begins (of several, again the last) if that states no PlaneCount.
    """
    if not image.tiffdata:
        return [(None, ifd) for ifd in range(total)]
    begins = _begins(image, size, stride)
    places: list[Place | None] = [None] * total
    unnamed = list(range(total + 1))  # for each plane one at or behind it, on the way to the next that no TiffData names; paths are halved
    ends: dict[int, int] = {}  # the last TiffData that ends before a plane
    for number in range(len(begins) - 1, -1, -1):
        data, begin = image.tiffdata[number], begins[number]
        end = min(begin + (1 if data.count is None else data.count), total)
        ends.setdefault(end, number)
        plane = begin
        while plane < end:
            if unnamed[plane] == plane:
                places[plane] = data, (data.ifd or 0) + plane - begin
                unnamed[plane] = plane + 1
            unnamed[plane] = unnamed[unnamed[plane]]
            plane = unnamed[plane]
    follows = -1
    for plane in range(total):
        if unnamed[plane] != plane:
            follows = -1
            continue
        follows = max(follows, ends.get(plane, -1))
        data = image.tiffdata[follows]
        if follows >= 0 and data.count is None:
            places[plane] = data, (data.ifd or 0) + plane - begins[follows]
    return places


def _begins(image: OmeImage, size: dict[str, int], stride: dict[str, int]) -> list[int]:
    """The first plane of each TiffData, also as writers state it that count from 1 instead of 0."""
    firsts = [(data.z, data.c, data.t) for data in image.tiffdata]
    sizes, strides = (size["Z"], size["C"], size["T"]), (stride["Z"], stride["C"], stride["T"])
    columns = list(zip(*firsts, strict=True))
    dz, dc, dt = (int(min(column) == 1 and max(column) >= most) for column, most in zip(columns, sizes, strict=True))
    begins = []
    for z, c, t in firsts:
        if z - dz >= sizes[0] or c - dc >= sizes[1] or t - dt >= sizes[2]:
            raise OmeXmlError(f"a TiffData for plane c={c} z={z} t={t}, outside the sizes it states")
        begins.append((z - dz) * strides[0] + (c - dc) * strides[1] + (t - dt) * strides[2])
    return begins
