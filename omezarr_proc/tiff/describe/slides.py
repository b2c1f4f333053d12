"""What slide scanners state of a slide's pixel size and magnification, beside the tags of TIFF. Pure.

Aperio: `key = value` fields between bars; MPP, micrometres a pixel, is measured, where XResolution (if there is one) is a default of its
writer; AppMag. PerkinElmer's QPTIFF: ScanResolution, whose nominal size counts where no resolution tag tells the measured one. Leica's SCN:
the `view` of an image in nanometres, its `pixels`, and the objective. Hamamatsu's NDPI has tags, see `ndpi`.
Sources: OpenSlide's descriptions of the formats, and tifffile.
"""

import math
import re
from dataclasses import dataclass, field

from omezarr_proc.model.image import AxisSize

APERIO = ("Aperio", "Mikroscan ", "Motic ")
MAX_HEAD = 1 << 18  # characters in which the values stand
_NUMBER = r"\s*([0-9.]+(?:[eE][-+]?[0-9]+)?)"


@dataclass(frozen=True)
class Optics:
    """Pixel sizes by axis ("x", "y"), whether they count more than the resolution tags, and the objective's magnification."""

    sizes: dict[str, AxisSize] = field(default_factory=dict)
    measured: bool = False
    magnification: float | None = None


def optics(text: str, width: int, height: int) -> Optics:
    """What the description of a slide's page of `width` x `height` pixels states; empty for any other text."""
    head = text[:MAX_HEAD]
    if head.startswith(APERIO):
        fields = {key.strip(): value for key, _, value in (part.partition("=") for part in head.split("|")[1:])}
        size = _positive(fields.get("MPP"))
        return Optics(_micrometres(size, size), True, _positive(fields.get("AppMag")))
    if "<PerkinElmer-QPI-ImageDescription" in head[:2000]:
        scan = head[max(head.find("<ScanResolution"), 0) :]
        size = _positive(_first(r"<PixelSizeMicrons>" + _NUMBER, scan))
        return Optics(_micrometres(size, size), False, _positive(_first(r"<(?:Magnification|Objective)>" + _NUMBER, scan)))
    if "leica-microsystems.com/scn" in head[:2000]:
        return _leica(head, width, height)
    return Optics()


def _leica(text: str, width: int, height: int) -> Optics:
    """Of the image that has a resolution of this size."""
    for image in re.findall(r"<image\b.*?</image>", text, re.DOTALL):
        pixels, view = (re.search(rf"<{name}\b[^>]*>", image) for name in ("pixels", "view"))
        if pixels is None or view is None:
            continue
        columns, rows, wide, high = (
            _positive(_first(rf'\b{key}="{_NUMBER}"', of[0])) for of in (pixels, view) for key in ("sizeX", "sizeY")
        )
        if (columns, rows) == (width, height):
            sizes = _micrometres(wide and wide / width / 1000, high and high / height / 1000)
            return Optics(sizes, False, _positive(_first(r"<objective>" + _NUMBER, image)))
    return Optics()


def _micrometres(x: float | None, y: float | None) -> dict[str, AxisSize]:
    return {axis: AxisSize(size, "micrometer") for axis, size in (("x", x), ("y", y)) if size}


def _first(pattern: str, text: str) -> str | None:
    found = re.search(pattern, text)
    return found.group(1) if found else None


def _positive(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 else None
