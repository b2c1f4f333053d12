"""Images and pyramids without files."""

from collections.abc import Iterable

from omezarr_proc.model.image import Channel, Image, Layout, Plane
from omezarr_proc.model.pyramid import Axis, Level, Pyramid, make_pyramid
from omezarr_proc.model.region import AXES, ceil_div


def picture(height: int, width: int, t: int = 1, c: int = 1, z: int = 1, samples: int = 1) -> Image:
    layout = Layout(height=height, width=width, samples=samples, segment_height=height, segment_width=width, dtype="uint8")
    planes = (Plane(0, 8),) * (t * c * z // samples)
    return Image(
        source="a.tif",
        files=("/a.tif",),
        series=0,
        name="a",
        size_t=t,
        size_c=c,
        size_z=z,
        height=height,
        width=width,
        dtype="uint8",
        stored_dtype="uint8",
        rgb=samples == 3,
        layouts=(layout,),
        planes=planes,
        channels=(Channel(),) * c,
    )


def pyramid(
    image: Image, d: int = 1, most: int = 0, least: int = 1, tile: int = 64, bundled: bool = False, names: Iterable[str] = AXES
) -> Pyramid:
    return make_pyramid(image, downsample=d, tile=tile, bundled=bundled, max_levels=most, min_dimension=least, names=tuple(names))


def volume(
    size_z: int, height: int, width: int, chunk: int, halvings: int, base: tuple[int, int] = (1, 1), dtype: str = "uint16"
) -> Pyramid:
    """Three levels of chunks of `chunk` planes, of which the first `halvings` steps halve z too; `base`: first factors of z and y."""
    levels = []
    for k in range(3):
        z, d = base[0] << min(k, halvings), base[1] << k
        axes = tuple(
            Axis(size=ceil_div(full, f), factor=f, chunk=n, object=n)
            for full, f, n in ((1, 1, 1), (2, 1, 1), (size_z, z, chunk), (height, d, 64), (width, d, 64))
        )
        levels.append(Level(k, axes))
    return Pyramid(tuple(levels), ("c", "z", "y", "x"), dtype, 1)
