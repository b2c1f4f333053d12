"""The well plates of an OME-XML document, and which of its images is which field of one. Pure.

Source: the OME-XML schema, 2016-06, `Plate`, `Well`, `WellSample` and `PlateAcquisition`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from omezarr_proc.model.plate import Acquisition, Field, Plate, letters
from omezarr_proc.tiff.describe.omevalues import OmeXmlError, whole

MOST_SIDE = 10_000  # rows, or columns: no plate has so many, so the document must be wrong


@dataclass
class OmeSample:
    """One WellSample: a field of a well. `order`: its Index; `image`: the ID of its Image, None where it has none."""

    id: str
    order: int
    image: str | None = None


@dataclass
class OmeWell:
    """One Well with its samples in the order of the document."""

    row: int
    column: int
    samples: list[OmeSample] = field(default_factory=list)


@dataclass
class OmePlate:
    """One Plate element. `rows`, `columns`: how many it states, 0 where it does not; acquisitions with the IDs of their samples."""

    name: str
    rows: int
    columns: int
    row_naming: str
    column_naming: str
    wells: list[OmeWell] = field(default_factory=list)
    acquisitions: list[tuple[str, set[str]]] = field(default_factory=list)


class PlateElements:
    """Collects `plates` while a document is read. `path`: the names of the open elements, the present one last."""

    def __init__(self, path: list[str], plates: list[OmePlate]) -> None:
        self._path, self._plates = path, plates
        self.starts: dict[str, Callable[[dict[str, str]], None]] = {
            "Plate": self._plate, "Well": self._well, "WellSample": self._sample, "ImageRef": self._image,
            "PlateAcquisition": self._acquisition, "WellSampleRef": self._acquired,
        }  # fmt: skip

    def _is(self, *inside: str) -> bool:
        """Whether the present element is this one inside a plate."""
        return self._path[1:] == ["Plate", *inside]

    def _plate(self, a: dict[str, str]) -> None:
        if self._is():
            rows, columns = (whole(a[name], name) if name in a else 0 for name in ("Rows", "Columns"))
            naming = a.get("RowNamingConvention", "letter"), a.get("ColumnNamingConvention", "number")
            self._plates.append(OmePlate(a.get("Name", ""), rows, columns, *naming))

    def _well(self, a: dict[str, str]) -> None:
        if self._is("Well"):
            self._plates[-1].wells.append(OmeWell(whole(a.get("Row"), "Row"), whole(a.get("Column"), "Column")))

    def _sample(self, a: dict[str, str]) -> None:
        if self._is("Well", "WellSample"):
            order = whole(a["Index"], "Index") if "Index" in a else 0
            self._plates[-1].wells[-1].samples.append(OmeSample(a.get("ID", ""), order))

    def _image(self, a: dict[str, str]) -> None:
        if self._is("Well", "WellSample", "ImageRef"):
            self._plates[-1].wells[-1].samples[-1].image = a.get("ID")

    def _acquisition(self, a: dict[str, str]) -> None:
        if self._is("PlateAcquisition"):
            self._plates[-1].acquisitions.append((a.get("Name", ""), set()))

    def _acquired(self, a: dict[str, str]) -> None:
        if self._is("PlateAcquisition", "WellSampleRef") and "ID" in a:
            self._plates[-1].acquisitions[-1][1].add(a["ID"])


def fields(plates: list[OmePlate]) -> dict[str, Field]:
    """The place of each image on its plate, by the image's ID; the first place of one that has several.

    Rows and columns are as many as the plate states, or as its wells need. Raises OmeXmlError for a plate that cannot be.
    """
    found: dict[str, Field] = {}
    for number, ome in enumerate(plates):
        rows = max([ome.rows, *(well.row + 1 for well in ome.wells)])
        columns = max([ome.columns, *(well.column + 1 for well in ome.wells)])
        if max(rows, columns) > MOST_SIDE:
            raise OmeXmlError(f"plate {number} has {rows} rows and {columns} columns")
        plate = Plate(
            number=number,
            name=ome.name,
            rows=_names(rows, ome.row_naming),
            columns=_names(columns, ome.column_naming),
            acquisitions=tuple(Acquisition(index, name) for index, (name, _) in enumerate(ome.acquisitions)),
        )
        acquired = {sample: index for index, (_, samples) in enumerate(ome.acquisitions) for sample in samples}
        only = 0 if len(ome.acquisitions) == 1 else None
        for well in ome.wells:
            for place, sample in enumerate(sorted(well.samples, key=lambda sample: sample.order)):
                if sample.image is not None:
                    acquisition = acquired.get(sample.id, only)
                    one = Field(plate=plate, row=well.row, column=well.column, order=place, acquisition=acquisition)
                    found.setdefault(sample.image, one)
    return found


def _names(count: int, naming: str) -> tuple[str, ...]:
    return tuple(letters(index) if naming == "letter" else str(index + 1) for index in range(count))
