"""`verify DATASET... [--source TIFF]`: whether a dataset has the pixels of the TIFF that it was made of, all of them, and its metadata.

The base level is made anew of the TIFF and compared pixel by pixel, every further level with what the one before gives, the root metadata
with those that a conversion would write. The settings that shaped the dataset are read from it. Without `--source` the TIFF is looked for
beside the dataset, by its name. Of a dataset by others it is told which levels are exact, and whether level 0 has the source's pixels.
Exit status: 0 identical to the source, 1 not, or there is no source to compare with, 2 wrong usage.
"""

from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omezarr_proc.app.inputs import ENDINGS, dataset_path
from omezarr_proc.app.parser import VerbParser
from omezarr_proc.app.places import check_file, named_place
from omezarr_proc.app.standard import tell_each
from omezarr_proc.check.exact import Made
from omezarr_proc.model.address import Place
from omezarr_proc.model.errors import InputError, ProcError, UnsupportedInputError, about, without_frames
from omezarr_proc.model.text import shown
from omezarr_proc.store.zipped import SUFFIX

if TYPE_CHECKING:
    from omezarr_proc.build.verify import Sourced
    from omezarr_proc.engine.base import Engine
    from omezarr_proc.host.limits import Limits
    from omezarr_proc.model.crop import Crop
    from omezarr_proc.model.image import Image
    from omezarr_proc.store.read import Dataset


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What was found of one dataset; `sourced`: of its base level and metadata, None where there is no source; `levels`: of the others."""

    path: Place
    source: str | None = None
    ours: bool = False
    sourced: "Sourced | None" = None
    levels: tuple[Made, ...] = ()
    error: ProcError | None = None

    @property
    def proven(self) -> bool:
        """Whether the source can be made out of it: of a dataset by others, that its base level has the pixels is all that counts."""
        exact = all(level.exact for level in self.levels) or not self.ours
        return not self.error and self.sourced is not None and self.sourced.identical and exact


def main(argv: list[str]) -> int:
    """Compare the named datasets with their sources and return the exit status."""
    parser = VerbParser(
        "verify",
        "Compare every pixel of OME-Zarr images with the TIFFs that they were made of, and what they say of them.",
        "Exit status: 0 identical, 1 not, or no source to compare with, 2 wrong usage.",
    )
    parser.add_datasets()
    parser.add_argument("--source", metavar="TIFF", type=named_place, help="what it was made of (else: the TIFF of its name beside it)")
    parser.add_argument("--image", metavar="N", type=int, help="which image of the source it is, from 0 (else: by its name and size)")
    parser.add_json()
    arguments = parser.parse_args(argv)
    if arguments.source is not None and len(arguments.datasets) > 1:
        parser.error("--source is for one dataset")
    found = verify_all(arguments.datasets, arguments.source, arguments.image)
    return tell_each(found, lambda one: one.proven, lines, _as_json if arguments.json else None)


def verify_all(datasets: list[Place], source: Place | None, number: int | None) -> Iterator[Verified]:
    """Each dataset compared, with workers as a conversion has them."""
    from omezarr_proc.engine.local.nursery import Nursery
    from omezarr_proc.host.limits import read_limits

    limits = read_limits()  # before our own processes are part of what is in use
    nursery = Nursery(may_fork=True)  # before any thread of ours is there
    from omezarr_proc.engine.local.engine import Local

    with closing(Local(nursery)) as engine:
        for path in datasets:
            of_source = source or _beside(path)
            for image, field in _images_of(path):
                try:
                    with about(image):
                        yield _verify(image, of_source, number if field is None else field, engine, limits)
                except ProcError as error:
                    yield Verified(path=image, error=without_frames(error))


def _images_of(path: Place) -> Iterator[tuple[Place, str | None]]:
    """The images of a folder: itself, or those of a plate or another collection, each with its path in it."""
    from omezarr_proc.check.collection import open_collection
    from omezarr_proc.store.read import open_dataset

    try:
        collection = open_collection(open_dataset(path))
    except InputError:
        collection = None
    if collection is None:
        yield path, None
        return
    yield from ((path / field, field) for field in collection.images)


def _verify(path: Place, source: Place | None, which: int | str | None, engine: "Engine", limits: "Limits") -> Verified:
    from omezarr_proc.build.recovered import settings_of
    from omezarr_proc.build.verify import compare_with_source
    from omezarr_proc.check.exact import check_steps
    from omezarr_proc.store.read import open_dataset

    dataset = open_dataset(path)
    if not dataset.arrays or dataset.problems:
        problem = ": ".join(dataset.problems[0]) if dataset.problems else "has no level"
        raise InputError(problem, hint="`omezarr-proc validate` says more")
    sourced = None
    if source is not None:
        image = _image(dataset, source, which, limits)
        sourced = compare_with_source(dataset, image, settings_of(dataset, image), engine, limits)
        engine.rest()
    name = None if source is None else str(source)
    return Verified(
        path=path,
        source=name,
        ours=dataset.own is not None,
        sourced=sourced,
        levels=tuple(check_steps(dataset, sourced.above if sourced else None)),
    )


def _beside(path: Place) -> Place | None:
    """The TIFF of a dataset's name beside it: the one image of which would have become it. Raises StoreUnavailableError."""
    from omezarr_proc.host.store_errors import refuse_silence
    from omezarr_proc.tiff.file.bytes import is_file, names_beside

    path = path.absolute() if isinstance(path, Path) else path
    try:
        names = sorted(names_beside(str(path)))
    except OSError as error:
        refuse_silence(error)
        return None
    for name in names:
        stem = dataset_path(Path(name)).name.removesuffix(".ome.zarr") if name.lower().endswith(ENDINGS) else None
        ours = stem is not None and (path.name in (f"{stem}.ome.zarr", f"{stem}{SUFFIX}") or path.name.startswith(f"{stem}.series"))
        if ours and is_file(str(path.parent / name)):
            return path.parent / name
    return None


def _image(dataset: "Dataset", source: Place, which: int | str | None, limits: "Limits") -> "Image":
    """The image of a source that a dataset was made of: the one that is asked for, that its name tells, or the first of its size.

    which  its number in the file, or its path in the plate that the file is of
    """
    from omezarr_proc.build.dataset import part_of
    from omezarr_proc.build.fields import by_path
    from omezarr_proc.build.recovered import base_factor, crop_of, in_srgb, settings_of, stored_level_taken
    from omezarr_proc.tiff.describe.images import open_images
    from omezarr_proc.tiff.file.budget import Budget

    check_file(source)
    images = open_images(
        str(source),
        images=(which,) if isinstance(which, int) else "all",
        on_missing="fill",
        reduced_by=(base_factor(dataset) or 1) if stored_level_taken(dataset) else 1,
        budget=Budget.within(limits, source=str(source)),
        refused=[],
        to_srgb=in_srgb(dataset),
    )
    crop = crop_of(dataset)
    if isinstance(which, str):
        fields = by_path([image for image in images if image.field is not None])
        if which not in fields:
            raise InputError(f"the source has no image for {which} of a plate", source=source)
        return part_of(fields[which], crop).alone()
    if isinstance(which, int):
        return part_of(images[0], crop)
    images = list(_parts(crop, images)) or [part_of(images[0], crop)]
    names = {dataset_path(Path(source.name), f"series{image.series}").name: image for image in images}
    names[dataset_path(Path(source.name)).name] = names.get(dataset_path(Path(source.name), "series0").name, images[0])

    def fits(image: "Image") -> bool:
        from omezarr_proc.build.dataset import pyramid_of

        shape = pyramid_of(image, settings_of(dataset, image)).levels[0].shape
        return sorted(n for n in shape if n > 1) == sorted(n for n in dataset.arrays[0].shape if n > 1)

    return names.get(dataset.path.name) or next(filter(fits, images), images[0])


def _parts(crop: "Crop", images: "Iterable[Image]") -> "Iterator[Image]":
    """That part of each image that has it."""
    from omezarr_proc.build.dataset import part_of

    for image in images:
        with suppress(UnsupportedInputError):
            yield part_of(image, crop)


def lines(found: Verified) -> Iterator[str]:
    """What was found, for a person."""
    name = shown(found.path)
    if found.error:
        yield str(found.error)
        return
    wrong = 0
    for level in found.levels:
        if not level.exact:
            wrong += 1
            what = level.problem or (level.difference.text if level.difference else "")
            note = "error" if found.ours else "note"
            yield f"{name}: {note}: level {level.path} is not the exact {level.method} of level {level.before}: {what}"
        elif not found.ours:
            yield f"{name}: level {level.path} is the exact {level.method} of level {level.before}"
    if found.sourced is None:
        yield f"{name}: not compared with its source: no TIFF of its name is beside it; name it with --source"
        return
    of_source, source = found.sourced, shown(str(found.source))
    for text in of_source.metadata:
        yield f"{name}: error: {text}"
    if of_source.difference or of_source.problem:
        what = of_source.problem or (of_source.difference.text if of_source.difference else "")
        yield f"{name}: error: level 0 has not the pixels of {source}: {what}"
    if not found.proven:
        yield f"{name}: DIFFERENT from {source}"
        return
    counted = f"{of_source.pixels} pixels compared with {source}"
    exact = f", {sum(level.pixels for level in found.levels)} of further levels with those before" if found.ours else ""
    yield f"{name}: {'identical' if found.ours else 'level 0 is identical'}, {counted}{exact}"


def _as_json(found: Verified) -> dict[str, Any]:
    return {
        "path": str(found.path),
        "source": found.source,
        "identical": found.proven,
        "error": str(found.error) if found.error else None,
        "base": {name: value for name, value in asdict(found.sourced).items() if name != "above"} if found.sourced else None,
        "levels": [asdict(level) | {"exact": level.exact} for level in found.levels],
    }
