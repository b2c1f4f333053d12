"""Workers that each make a small image by itself, while the main process goes on with others."""

from typing import Generic, TypeVar

from omezarr_proc.build.image import Conversion
from omezarr_proc.build.solo import SoloImage, SoloMade
from omezarr_proc.engine.base import WorkerLostError
from omezarr_proc.engine.local.solos import Solos
from omezarr_proc.host.limits import Limits
from omezarr_proc.model.address import Place
from omezarr_proc.model.errors import LimitError, OutOfTimeError, ProcError
from omezarr_proc.plan.solo import SMALL_BYTES, limits_of_one
from omezarr_proc.publish.tree import Noting

# Of an image that is small (see SMALL_BYTES too): its planes, its OME-XML, since many are kept at a time.
SMALL_PLANES = 256
SMALL_TEXT = 1 << 20

T = TypeVar("T")


def pixel_bytes(conversion: Conversion) -> int:
    """Of all planes of its image. Raises CeilingError."""
    image = conversion.image
    return image.size_t * image.size_c * image.size_z * image.height * image.width * conversion.pyramid.itemsize


def is_small(conversion: Conversion) -> bool:
    """Whether an image is made in a moment, and what is known of it small. Raises CeilingError."""
    image = conversion.image
    known = len(image.planes) <= SMALL_PLANES and len(image.ome_xml or "") <= SMALL_TEXT
    return known and pixel_bytes(conversion) <= SMALL_BYTES


class Makers(Generic[T]):
    """Those of one run, who make images that are known to the caller as `T`. When a worker is lost there are none any more.

    solos   the workers; None: there are none
    limits  what all of them have together
    """

    def __init__(self, solos: Solos | None, limits: Limits) -> None:
        self._solos = solos
        self._limits = limits_of_one(limits, solos.workers) if solos else limits
        self._given: dict[SoloImage, T] = {}

    def __bool__(self) -> bool:
        """Whether any image is being made."""
        return bool(self._given)

    @property
    def have_room(self) -> bool:
        """Whether one of them could take a further image."""
        return self._solos is not None and self._solos.have_room

    @staticmethod
    def can_make(conversion: Conversion) -> bool:
        """Not what is far away, so that the main process may have its bytes, nor what leaves something for a certificate."""
        return not conversion.image.distant and conversion.taken is None

    def give(self, name: T, conversion: Conversion, target: Place | str, tree: Noting) -> None:
        """Have an image made, if they have room. Raises NurseryError where there can be no worker."""
        assert self._solos
        task = SoloImage.of(conversion, target, tree, self._limits)
        self._solos.give(task)
        self._given[task] = name

    def take(self, patience: float) -> list[tuple[T, SoloMade]]:
        """What has come of images, and whether that `is_for_all`; waits for the first, for at most so many seconds."""
        if not (self._given and self._solos):
            return []
        try:
            found = self._solos.done(patience)
        except ProcError as error:  # of none: which of them has killed a worker, if one has, nobody knows
            names = list(self._given.values())
            self._given.clear()
            if isinstance(error, WorkerLostError):
                self._solos = None
            if isinstance(error, OutOfTimeError):
                error = OutOfTimeError(error.message, hint="run it again to go on")
            return [(name, SoloMade(error=error)) for name in names]
        taken: list[tuple[T, SoloMade]] = []
        for task, made in found:
            assert isinstance(task, SoloImage) and isinstance(made, SoloMade)  # what was given
            taken.append((self._given.pop(task), made))
        return taken

    def stop(self) -> None:
        """End those that are at work."""
        if self._given and self._solos:
            self._solos.stop()
        self._given.clear()


def is_for_all(made: SoloMade) -> bool:
    """Whether all workers might make the image: with all the memory, or one after another."""
    return isinstance(made.error, LimitError | WorkerLostError)
