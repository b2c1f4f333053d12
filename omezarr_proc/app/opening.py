"""Inputs are opened one after another: each with its images, or with the error why there are none. Pixels are not read."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from loguru import logger

from omezarr_proc.app.datasets import datasets
from omezarr_proc.app.inputs import Input, check_twin
from omezarr_proc.app.places import check_file
from omezarr_proc.app.search import MENTIONED
from omezarr_proc.app.sequence import image_of
from omezarr_proc.config.settings import Settings
from omezarr_proc.host.limits import Limits
from omezarr_proc.model.address import Place, absolute, place, real
from omezarr_proc.model.crop import Crop
from omezarr_proc.model.errors import (
    LimitError,
    OutOfTimeError,
    ProcError,
    ProcessLimitError,
    SettingsError,
    UnsupportedInputError,
    about,
    without_frames,
)
from omezarr_proc.model.text import shown

if TYPE_CHECKING:
    from omezarr_proc.model.image import Image


def open_inputs(
    settings: Settings, inputs: Iterable[Input], limits: Limits, deadline: float | None = None
) -> Iterator[tuple[Input, "list[Image] | ProcError"]]:
    """Each input with its images, or with the error why there are none, and with that of each image that is not supported.

    The members of a set are one input: the first of them.

    Raises SettingsError, before anything is yielded, where OUTPUT_LAYOUT=root has no place for all of them.
    """
    opened = _open(settings, inputs, limits, deadline)
    return opened if settings.output_layout == "folders" else iter(_the_only_one(settings, opened))


def _the_only_one(
    settings: Settings, opened: "Iterator[tuple[Input, list[Image] | ProcError]]"
) -> "list[tuple[Input, list[Image] | ProcError]]":
    """The input of the one dataset. One that cannot be opened counts as well: what becomes OUTPUT_DIR must not depend on damage."""
    first: list[tuple[Input, list[Image] | ProcError]] = []
    names: list[str] = []
    for entry, found in opened:
        if not found:  # the errors of its images follow
            continue
        images = [found.message] if isinstance(found, ProcError) else [planned.what for planned in datasets(settings, entry, found)]
        names += [f"{shown(entry.path)} ({image})" for image in images]
        first = first or [(entry, found)]
        if len(names) > MENTIONED:
            names[MENTIONED:] = ["..."]
            break
    if len(names) > 1:
        raise SettingsError(
            f"OUTPUT_LAYOUT=root makes OUTPUT_DIR itself the dataset of one image or plate, and there are more: {', '.join(names)};"
            " name one file, choose with IMAGES, or write them with OUTPUT_LAYOUT=folders"
        )
    return first


def _open(
    settings: Settings, inputs: Iterable[Input], limits: Limits, deadline: float | None
) -> Iterator[tuple[Input, "list[Image] | ProcError"]]:
    from omezarr_proc.tiff.describe.images import open_images
    from omezarr_proc.tiff.file.budget import Budget
    from omezarr_proc.tiff.file.changes import being_opened
    from omezarr_proc.tiff.file.coming import Coming

    inputs = list(inputs)
    coming = Coming(str(entry.path) for entry in inputs)
    chosen, on_missing = settings.images, settings.on_missing
    crop = Crop(region=settings.crop_region, channels=settings.crop_channels, z=settings.crop_z, t=settings.crop_t)
    reduced_by = settings.initial_downsample if settings.use_existing_resolutions and not crop.region else 1
    members: dict[str, Input] = {}

    def opened(path: Place, budget: Budget, refused: list[UnsupportedInputError] | None = None) -> "list[Image]":
        check_file(path)
        with being_opened(path):
            return open_images(
                str(path),
                images=chosen,
                on_missing=on_missing,
                reduced_by=reduced_by,
                z_downsample=settings.z_downsample,
                budget=budget,
                opener=coming.open,
                refused=refused,
                to_srgb=settings.color == "srgb",
            )

    for entry in inputs:
        found: list[Image] | ProcError
        refused: list[UnsupportedInputError] = []
        try:
            with typed(entry.path):
                if first := members.get(real(entry.path)):
                    logger.info(f"{shown(absolute(str(entry.path)))}: is part of {shown(absolute(str(first.path)))}")
                    continue
                check_time(deadline)
                check_twin(entry)
                budget = Budget.within(limits, source=str(entry.path), segments=settings.max_segments, deadline=deadline)
                if entry.sequence is None:
                    found = opened(entry.path, budget, refused)
                else:
                    found = [image_of(entry.sequence, on_missing == "fill", partial(opened, budget=budget))]
                files = {file for image in found for file in image.files}  # each image of a set has all of them
                members |= {real(file): entry for file in files}
                found = list(_cropped(crop, found, refused))
        except ProcError as error:
            found = without_frames(error)
        finally:
            coming.passed(str(entry.path))
        yield entry, found
        del found
        yield from ((entry, without_frames(error)) for error in refused)


def _cropped(crop: Crop, images: "Iterable[Image]", refused: list[UnsupportedInputError]) -> "Iterator[Image]":
    from omezarr_proc.build.dataset import part_of

    for image in images:
        try:
            yield part_of(image, crop)
        except UnsupportedInputError as error:
            refused.append(error)


def check_time(deadline: float | None) -> None:
    """Raise OutOfTimeError when time is up for what is not begun yet."""
    if deadline is not None and time.monotonic() > deadline:
        raise OutOfTimeError("not begun, since time is up", hint="run it again to go on")


@contextmanager
def typed(source: Place) -> Iterator[None]:
    """Within, whatever goes wrong with an input becomes a ProcError about it: the others are tried all the same."""
    with about(place(absolute(str(source)))):
        try:
            yield
        except ProcError:
            raise
        except MemoryError as error:
            raise LimitError("out of memory: give it more, or set MEMORY_LIMIT_MB to what there really is") from error
        except Exception as error:  # a library's surprise at a broken file, or a mistake of ours: neither may stop the batch
            if str(error) == "can't start new thread":
                raise ProcessLimitError("cannot start a thread: allow this user more processes, or set MAX_WORKERS lower") from error
            if isinstance(error, OSError) and error.filename is not None:
                raise ProcError(f"{error.filename}: {error.strerror}") from error
            logger.opt(exception=error).debug(f"{shown(source)}: unexpected error")
            text = f"unexpected {type(error).__name__}: {error} (LOG_LEVEL=DEBUG shows where)"
            raise ProcError(text.replace("\n", " ")) from error
