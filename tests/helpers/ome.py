"""OME-XML, and sets of files that name each other."""

from tiffs import build, grey

OME = (
    '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0" Name="{name}"><Pixels ID="Pixels:0" Type="uint8" '
    'DimensionOrder="XYZCT" SizeX="{x}" SizeY="{y}" SizeZ="{z}" SizeC="{c}" SizeT="{t}"{more}>{inside}</Pixels></Image></OME>'
)


def ome(name="", x=4, y=3, z=1, c=1, t=1, more="", inside=""):
    return OME.format(name=name, x=x, y=y, z=z, c=c, t=t, more=more, inside=inside).encode() + b"\0"


def pages(count, text=None, **more):
    """Pages of 4 x 3 pixels, page i full of i."""
    return [grey(bytes([i] * 12), 4, 3, **({"t270": (2, text)} if text and not i else {}), **more) for i in range(count)]


SPACE = 'xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'


def data(names):
    one = '<TiffData FirstZ="{0}" IFD="0" PlaneCount="1"><UUID FileName="{1}">urn:uuid:u{0}</UUID></TiffData>'
    return "".join(one.format(i, name) for i, name in enumerate(names))


def xml(number, names):
    return (
        f'<OME {SPACE} UUID="urn:uuid:u{number}"><Image ID="Image:0"><Pixels ID="Pixels:0" Type="uint8" DimensionOrder="XYZCT" '
        f'SizeX="4" SizeY="3" SizeZ="{len(names)}" SizeC="1" SizeT="1">{data(names)}</Pixels></Image></OME>'
    )


def page(number, text):
    return build([grey(bytes([number] * 12), 4, 3, t270=(2, text.encode() + b"\0"))])
