"""The metadata of a plate and of its wells as plain data: the root attributes of these groups, in both of their forms.

Rules: https://ngff.openmicroscopy.org/0.4/#plate-md and https://ngff.openmicroscopy.org/0.5/#plate-md, and `well` behind each.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Any, Literal

from omezarr_proc.model.plate import Field, Plate
from omezarr_proc.ngff.versions import in_version

Json = dict[str, Any]


def plate_attributes(name: str, fields: Sequence[Field], own: Json, zarr_format: Literal[2, 3], version: str) -> Json:
    """The root group's attributes of a plate with these fields, all of one plate; `own`: our own block (the dataset's key)."""
    plate, wells = fields[0].plate, {(field.row, field.column): field.well for field in fields}
    found: Json = {
        "name": plate.name.strip() or name,
        "rows": [{"name": row} for row in plate.rows],
        "columns": [{"name": column} for column in plate.columns],
        "wells": [{"path": path, "rowIndex": row, "columnIndex": column} for (row, column), path in sorted(wells.items())],
        "field_count": max(len(list(of_well)) for _, of_well in groupby(sorted(field.well for field in fields))),
    }
    if acquired(fields):
        found["acquisitions"] = [_acquisition(plate, number, fields) for number in sorted({field.acquisition or 0 for field in fields})]
    return _forms("plate", found, zarr_format, version) | {"omezarr_proc": own}


def well_attributes(fields: Sequence[Field], acquisitions: bool, zarr_format: Literal[2, 3], version: str) -> Json:
    """The attributes of the group of a well with these fields, in their order; `acquisitions`: whether its plate states them."""
    images = [{"path": str(index)} | ({"acquisition": field.acquisition} if acquisitions else {}) for index, field in enumerate(fields)]
    return _forms("well", {"images": images}, zarr_format, version)


def acquired(fields: Sequence[Field]) -> bool:
    """Whether the acquisition of each field is known: a plate that states acquisitions needs them all."""
    return all(field.acquisition is not None for field in fields)


def _acquisition(plate: Plate, number: int, fields: Sequence[Field]) -> Json:
    one = plate.acquisitions[number]
    wells = [field.well for field in fields if field.acquisition == number]
    return {"id": one.number, "maximumfieldcount": max(map(wells.count, wells))} | ({"name": one.name} if one.name else {})


def _forms(kind: str, found: Json, zarr_format: Literal[2, 3], version: str) -> Json:
    """As 0.4 beside, and in Zarr v3 as 0.5 or 0.6 inside `ome`, like the metadata of an image (see `attributes.root_attributes`)."""
    both: Json = {"ome": {"version": "0.5", kind: {"version": "0.5", **found}}} if zarr_format == 3 else {}
    return (both if version == "0.5" else in_version(both, version)) | {kind: {"version": "0.4", **found}}
