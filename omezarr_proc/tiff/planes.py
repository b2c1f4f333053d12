"""Where each plane of an OME image is: TiffData, or the order of the pages where there is none. Pure.

As Bio-Formats reads it (OME-TIFF specification, "The TiffData element"): a TiffData without PlaneCount is followed by the planes that
no other one names, one IFD each; one without IFD begins at the first; without any TiffData the pages follow DimensionOrder.
"""

from omezarr_proc.tiff.omexml import OmeImage, OmeXmlError, TiffData

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
    if not image.tiffdata:
        return [(None, ifd) for ifd in range(total)]
    places: list[Place | None] = [None] * total
    certain = [False] * total
    # writers that count from 1 instead of 0
    low = {axis: min(getattr(data, axis.lower()) for data in image.tiffdata) for axis in "ZCT"}
    for data in image.tiffdata:
        first = {axis: getattr(data, axis.lower()) for axis in "ZCT"}
        for axis in "ZCT":
            if low[axis] == 1 and any(getattr(other, axis.lower()) >= size[axis] for other in image.tiffdata):
                first[axis] -= 1
        if any(first[axis] >= size[axis] for axis in "ZCT"):
            raise OmeXmlError(f"a TiffData for plane c={data.c} z={data.z} t={data.t}, outside the sizes it states")
        begin = sum(first[axis] * stride[axis] for axis in "ZCT")
        ifd = data.ifd or 0
        count = 1 if data.count is None else data.count
        for plane in range(begin, min(begin + count, total)):
            places[plane] = data, ifd + plane - begin
            certain[plane] = True
        for plane in range(begin + count, total):
            if certain[plane]:
                break
            places[plane] = (data, ifd + plane - begin) if data.count is None else None
    return places
