"""Where the certificate of a dataset is, and which dataset it is of."""

from omezarr_proc.model.address import Place
from omezarr_proc.model.errors import InputError
from omezarr_proc.store.places import objects_at
from omezarr_proc.store.read import read_json


def certificate_path(target: Place) -> Place:
    """Where the certificate of a dataset is (for `target` see `hidden.inside`)."""
    return target.parent / f"{target.name}.certificate.json"


def list_path(target: Place) -> Place:
    """Where the digests of its objects are."""
    return target.parent / f"{target.name}.sha256"


def certified_key(target: Place) -> str | None:
    """The key of the dataset that the certificate there is of; None where there is none, empty where it says none. Raises OutputError."""
    place = certificate_path(target)
    beside = objects_at(place.parent)
    try:
        found = read_json(beside, place.parent, place.name)
        return None if found is None else str(found.get("key", ""))
    except InputError:  # damaged, or storage failed where there is none
        return "" if beside.exists(place.name) else None
