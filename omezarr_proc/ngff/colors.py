"""The colour in which a viewer shows each channel, as six hex digits: stated by the file, else by emission wavelength, else by position."""

from collections.abc import Sequence
from itertools import cycle, islice

from omezarr_proc.model.image import Channel, Image

WHITE = "FFFFFF"
RGB = ("FF0000", "00FF00", "0000FF")
PALETTE = ("0000FF", "00FF00", "FF0000", "FF00FF", "00FFFF", "FFFF00", "FF8000", "8000FF")

# Upper ends in nanometre of the bands of the visible spectrum (T. J. Bruno, P. D. N. Svoronos, CRC Handbook of Fundamental Spectroscopic
# Correlation Charts, 2005), each in its pure colour. Longer waves are invisible and get magenta, which no band has.
_BANDS = (
    (450.0, "8000FF"),
    (485.0, "0000FF"),
    (500.0, "00FFFF"),
    (565.0, "00FF00"),
    (590.0, "FFFF00"),
    (625.0, "FF8000"),
    (750.0, "FF0000"),
)
_INFRARED = "FF00FF"


def emission_color(wavelength: float) -> str:
    """The colour of light of `wavelength` nanometre, as the name of its band in the spectrum has it; 461 (DAPI) is blue."""
    return next((color for end, color in _BANDS if wavelength < end), _INFRARED)


def is_rgb_picture(image: Image) -> bool:
    """Whether the channels of an image are the red, green and blue of one picture, with or without an alpha channel behind them."""
    return image.rgb and image.size_c in (3, 4)


def channel_colors(image: Image) -> tuple[str, ...]:
    """One colour per channel.

    The red, green and blue of a picture are what the TIFF says they are, whatever colour OME-XML gives to the whole. Other channels take
    the OME colour, else that of their emission wavelength, else white where they are alone, else the palette's next that no other has.
    """
    if is_rgb_picture(image):
        return (*RGB, WHITE)[: image.size_c]
    known = _known_colors(image.channels, image.size_c)
    if image.size_c == 1:
        return (known[0] or WHITE,)
    free = [color for color in PALETTE if color not in known] or PALETTE
    spare = islice(cycle(free), image.size_c)
    return tuple(color or next(spare) for color in known)


def _known_colors(channels: Sequence[Channel], count: int) -> list[str | None]:
    """What the file knows about the colours of `count` channels.

    Black, which shows nothing, and white for every one of several channels, which is the schema's default, count as not stated.
    """
    padded = [*channels, *[Channel()] * count][:count]
    stated = [c.color.upper() if c.color else None for c in padded]
    if count > 1 and set(stated) == {WHITE}:
        stated = [None] * count
    return [
        color if color and color != "000000" else emission_color(channel.emission) if channel.emission else None
        for color, channel in zip(stated, padded, strict=True)
    ]
