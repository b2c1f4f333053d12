"""OME-XML as values, and what a hostile or sloppy document does."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omezarr_proc.model.image import AxisSize
from omezarr_proc.tiff.describe import omexml

HEAD = '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:ABC">'
SIZES = 'DimensionOrder="XYZCT" SizeX="4" SizeY="3" SizeZ="2" SizeC="1" SizeT="5"'


def document(pixels=SIZES, inside="", head=HEAD):
    return f'{head}<Image ID="Image:0" Name="one"><Pixels ID="Pixels:0" Type="uint8" {pixels}>{inside}</Pixels></Image></OME>'


def test_all_that_a_document_says():
    text = document(
        SIZES + ' PhysicalSizeX="0.5" PhysicalSizeXUnit="nm" PhysicalSizeY="2" TimeIncrement="1.5" TimeIncrementUnit="ms"',
        '<Channel Name="DAPI" Color="-16776961" EmissionWavelength="0.461" EmissionWavelengthUnit="µm" SamplesPerPixel="3"/>'
        '<TiffData IFD="2" FirstC="0" FirstZ="1" FirstT="4" PlaneCount="1"><UUID FileName="a.ome.tif">urn:uuid:X-1</UUID></TiffData>'
        "<TiffData/>",
    )
    parsed = omexml.parse(text)
    image = parsed.images[0]
    assert (parsed.uuid, image.name, image.order) == ("abc", "one", "XYZCT")
    assert image.size == {"X": 4, "Y": 3, "Z": 2, "C": 1, "T": 5}
    assert image.physical == {"x": AxisSize(0.5, "nanometer"), "y": AxisSize(2.0, "micrometer"), "t": AxisSize(1.5, "millisecond")}
    assert (image.channels[0].name, image.channels[0].color, image.samples) == ("DAPI", "FF0000", [3])
    assert image.channels[0].emission == pytest.approx(461)
    assert image.tiffdata == [
        omexml.TiffData(ifd=2, count=1, c=0, z=1, t=4, uuid="x-1", filename="a.ome.tif"),
        omexml.TiffData(ifd=None, count=None, c=0, z=0, t=0),
    ]


@pytest.mark.parametrize(
    ("unit", "expected"),
    [("µm", (3, "micrometer")), ("\u03bcm", (3, "micrometer")), ("Å", (3, "angstrom")), ("in.", (3, "inch")), ("dam", (30, "meter")),
     ("pt", (3 / 72, "inch")), ("Mm", (3, "megameter")), ("mm", (3, "millimeter")), ("pixel", None),
     ("reference frame", None), ("?", None)],
)  # fmt: skip
def test_units(unit, expected):
    sizes = omexml.parse(document(f'{SIZES} PhysicalSizeX="3" PhysicalSizeXUnit="{unit}"')).images[0].physical
    assert sizes == ({"x": AxisSize(*expected)} if expected else {})


@pytest.mark.parametrize("value", ["0", "-1", "NaN", "INF", "wide", ""])
def test_a_size_that_is_none_is_left_out(value):
    assert omexml.parse(document(f'{SIZES} PhysicalSizeX="{value}"')).images[0].physical == {}


@pytest.mark.parametrize(
    ("text", "color"),
    [("-1", "FFFFFF"), ("255", "000000"), ("-16776961", "FF0000"), ("4278190335", "FF0000"), ("red", None), ("9" * 11, None), (None, None)],
)
def test_colors_are_signed_rgba(text, color):
    assert omexml.color(text) == color


@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))
def test_colors_round_trip(r, g, b, a):
    value = (r << 24) | (g << 16) | (b << 8) | a
    signed = value - (1 << 32) if value >= 1 << 31 else value
    assert omexml.color(str(signed)) == omexml.color(str(value)) == f"{r:02X}{g:02X}{b:02X}"


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + document(),
        document() + "\0\0 trailing",
        document().replace("<OME", "<!-- a comment --><OME"),
        document().replace("<Image", "<ome:Image").replace("</Image", "</ome:Image"),
        document().replace('Name="one"', 'Name="o\x07ne"'),
    ],
)  # fmt: skip
def test_sloppy_documents_are_read(text):
    if "ome:Image" in text:
        text = text.replace("<OME ", '<OME xmlns:ome="x" ')
    assert omexml.is_ome(text)
    assert omexml.parse(text).images[0].name == "one"


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">' + "".join(f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(9)) + "]>"


@pytest.mark.parametrize(
    "text",
    [
        HEAD.replace("<OME", BOMB + "<OME") + '<Image ID="&j;"/></OME>',
        HEAD.replace("<OME", '<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd"><OME') + "</OME>",
        HEAD.replace("<OME", '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><OME') + "&e;</OME>",
    ],
)
def test_bombs_and_external_entities_are_refused_at_once(text):
    began = time.monotonic()
    with pytest.raises(omexml.OmeXmlError, match="document type"):
        omexml.parse(text)
    assert time.monotonic() - began < 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (document(SIZES.replace('SizeZ="2"', "")), "SizeZ is missing"),
        (document(SIZES.replace('SizeZ="2"', 'SizeZ="0"')), "SizeZ"),
        (document(SIZES.replace('SizeT="5"', 'SizeT="-5"')), "SizeT"),
        (document(SIZES.replace("XYZCT", "YXZCT")), "DimensionOrder"),
        (document(inside='<TiffData IFD="x"/>'), "IFD"),
        (document()[:-20], "malformed"),
        (HEAD + "<a>" * 500, "nested"),
    ],
)
def test_documents_that_say_nonsense_are_refused(text, reason):
    with pytest.raises(omexml.OmeXmlError, match=reason):
        omexml.parse(text)


@given(st.text(max_size=300))
def test_no_text_does_more_than_be_refused(text):
    for candidate in (text, HEAD + text, document(inside=text)):
        omexml.is_ome(candidate)
        try:
            omexml.parse(candidate)
        except omexml.OmeXmlError as error:
            assert "\n" not in str(error)


def test_binary_only():
    parsed = omexml.parse('<OME UUID="urn:uuid:1"><BinaryOnly MetadataFile="x.companion.ome" UUID="urn:uuid:2"/></OME>')
    assert (parsed.metadata_file, parsed.metadata_uuid, parsed.images) == ("x.companion.ome", "2", [])


@pytest.mark.parametrize("prefix", ["", "OME:"])
def test_where_each_image_stands(prefix: str):
    """In bytes: behind characters of several; none in a comment, a CDATA section or another element; `>` in an attribute."""
    inside = '<Description>µ <![CDATA[<Image>]]></Description><!-- <Image ID="no"> --><Pixels ID="Pixels:0" Type="uint8" ' + SIZES + "/>"
    images = [f'<Image ID="Image:{n}" Name="å > {n}">{inside}</Image >'.replace("<Image ", f"<{prefix}Image ") for n in range(3)]
    images = [image.replace("</Image", f"</{prefix}Image") for image in images]
    uri = 'xmlns:OME="http://www.openmicroscopy.org/Schemas/OME/2016-06"'
    text = f"<{prefix}OME {uri}>\n é<Plate><Image/></Plate>{images[0]}\n  {images[1]}<!-- -->{images[2]}</{prefix}OME>"
    data = text.encode()
    assert [data[slice(*image.place)].decode() for image in omexml.parse(text).images] == images
