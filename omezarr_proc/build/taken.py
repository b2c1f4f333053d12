"""What is taken of an image while it is converted, for its certificate: digests of its blocks and of its levels', checksums of its objects.

It is of one run: what an earlier run, or another part, has made has no digests here.
"""

import numpy as np

from omezarr_proc.model.image import Image
from omezarr_proc.model.pyramid import Pyramid
from omezarr_proc.pixels.digests import Digests
from omezarr_proc.publish.history import Unit
from omezarr_proc.store.checksums import CHECKSUM_BYTES

_CHECKSUM = f"V{CHECKSUM_BYTES}"


class Taken:
    """Of one image.

    source  the digests of its blocks (see `pixels.digests`)
    levels  those of the blocks of each level, as they were encoded
    """

    def __init__(self, image: Image, pyramid: Pyramid) -> None:
        """Nothing is taken yet."""
        self._pyramid = pyramid
        self.source = Digests(image.source_shape)
        self.levels = [Digests(level.shape) for level in pyramid.levels]
        self._checksums = [np.zeros(level.objects.shape, _CHECKSUM) for level in pyramid.levels]

    @property
    def objects(self) -> int:
        """Of how many objects checksums are known."""
        return sum(int(np.count_nonzero(of_level.view("<u8"))) for of_level in self._checksums)

    def finish(self, unit: Unit) -> None:
        """Note the checksums of finished objects."""
        level = self._pyramid.levels[unit.level]
        objects = self._pyramid.frame_chunks(unit.level, unit.frame, unit.rows, unit.columns).divided(level.shard)
        if unit.checksums:  # an older version has noted none
            _, channels, depths, rows, columns = objects.shape
            of_unit = np.frombuffer(unit.checksums, _CHECKSUM).reshape(depths, rows, columns, channels)
            self._checksums[unit.level][tuple(map(slice, objects.start, objects.stop))] = np.moveaxis(of_unit, -1, 0)

    def checksum(self, key: str) -> bytes | None:
        """Of the object of a key (see `ChunkStore`), when it was encoded; None where that is not known, or it holds no chunks."""
        try:
            level, *place = (int(part) for part in key.split("/") if part != "c")
            of_level = self._checksums[level]
            known: bytes = of_level.reshape(self._pyramid.stored(of_level.shape))[tuple(place)].tobytes()
        except (ValueError, IndexError):
            return None
        return known if len(known) == CHECKSUM_BYTES and any(known) else None
