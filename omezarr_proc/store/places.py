"""The objects of a dataset that somebody names, and what is written beside it, wherever it lies."""

from omezarr_proc.host.faults import output_error
from omezarr_proc.host.files import write_whole
from omezarr_proc.model.address import Address, Place
from omezarr_proc.store.folder import Folder
from omezarr_proc.store.objects import Objects
from omezarr_proc.store.remote import Bucket
from omezarr_proc.store.zipped import zipped_at


def objects_at(place: Place) -> Objects:
    """What lies below a folder or an address, or in a file of one dataset. No request is made."""
    return Bucket(place) if isinstance(place, Address) else zipped_at(place) or Folder(str(place), links=True)


def put_at(place: Place, data: bytes, what: str) -> None:
    """Write a file or an object; who reads it finds the old one or the new one. `what` it is, for the error. Raises OutputError."""
    if isinstance(place, Address):
        Bucket(place.parent).put(place.name, data)
        return
    try:
        write_whole(place, data)
    except OSError as error:
        raise output_error(f"cannot write the {what}", error, place) from error
