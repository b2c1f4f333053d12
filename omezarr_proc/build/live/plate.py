"""A live plate: the groups of the plate and of its wells, and a live dataset for each field, made when it is first looked at."""

import threading
from collections.abc import Mapping, Sequence

from omezarr_proc.build.dataset import own_attributes
from omezarr_proc.build.fields import by_path, plate_groups
from omezarr_proc.build.live.dataset import NOTE, Live
from omezarr_proc.build.live.levels import SETTINGS
from omezarr_proc.build.live.workshop import Workshop
from omezarr_proc.host.limits import Limits
from omezarr_proc.model.image import Image
from omezarr_proc.store.documents import group_documents


class LivePlate:
    """A plate that is made of the images of a file while it is looked at. Threads may use it at once."""

    plate, slow = True, False

    def __init__(self, images: Sequence[Image], stored: Mapping[int, Sequence[Image]], limits: Limits, workshop: Workshop) -> None:
        """`images`: all of one plate; `stored`: the levels that the file has of each, by its series."""
        self._groups = plate_groups(images, own_attributes("", [NOTE]), 3, SETTINGS.ngff_version)
        self._images, self._stored = by_path(images), stored
        self._limits, self._workshop = limits, workshop
        self._fields: dict[str, Live] = {}
        self._one = threading.Lock()

    def get(self, key: str) -> bytes:
        """A document or a chunk. Raises FileNotFoundError where there is none, ProcError where the file does not give it."""
        group, _, name = key.rpartition("/")
        if name == "zarr.json" and group in self._groups:
            return group_documents(self._groups[group], 3)[name]
        parts = key.split("/")
        path, within = "/".join(parts[:3]), "/".join(parts[3:])
        if path not in self._images:
            raise FileNotFoundError(2, "No such object", key)
        return self._field(path).get(within)

    def _field(self, path: str) -> Live:
        with self._one:
            if path not in self._fields:
                image = self._images[path]
                self._fields[path] = Live(image, self._stored[image.series], self._limits, self._workshop)
            return self._fields[path]
