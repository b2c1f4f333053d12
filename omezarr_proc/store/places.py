"""The objects of a dataset that somebody names, wherever it lies."""

from omezarr_proc.model.address import Address, Place
from omezarr_proc.store.folder import Folder
from omezarr_proc.store.objects import Objects
from omezarr_proc.store.remote import Bucket


def objects_at(place: Place) -> Objects:
    """What lies below a folder or an address. No request is made."""
    return Bucket(place) if isinstance(place, Address) else Folder(str(place), links=True)
