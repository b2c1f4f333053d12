"""All that is wrong with what a folder holds: metadata, files, and with `deep` the pixels, of each image in it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from omezarr_proc.check.collection import open_collection
from omezarr_proc.check.finding import Finding
from omezarr_proc.check.labels import check_label, label_paths
from omezarr_proc.check.spec import check, other_version
from omezarr_proc.check.stored import check_stored
from omezarr_proc.check.strays import check_strays
from omezarr_proc.model.address import Place
from omezarr_proc.model.errors import InputError, OutputError, ProcError, StoreUnavailableError, about, without_frames
from omezarr_proc.store.read import Dataset, open_dataset


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What was found of one dataset; `error`: it could not be judged at all.

    images  of a plate or another collection, which each have a verdict of their own
    """

    path: Place
    findings: tuple[Finding, ...] = ()
    ours: bool = False
    levels: int = 0
    chunks: int = 0
    images: int | None = None
    error: ProcError | None = None

    @property
    def valid(self) -> bool:
        """Whether nothing is wrong; notes do not count."""
        return not self.error and not any(finding.is_error(self.ours) for finding in self.findings)


def judge_all(path: Place, *, deep: bool = False) -> Iterator[Verdict]:
    """A verdict of the folder, which may hold an image or a collection of some, then one of each image in it, and of each one's labels.

    Raises StoreUnavailableError: then nothing is known of what lies there.
    """
    try:
        with about(path):
            dataset = open_dataset(path)
            collection = open_collection(dataset)
    except InputError as error:
        yield Verdict(path=path, error=without_frames(error))
        return
    if collection is not None:
        yield Verdict(path=path, findings=collection.findings, images=len(collection.images))
    for image in [path] if collection is None else [path / image for image in collection.images]:
        yield judge(image, deep=deep)
        yield from (_judge_label(image, name, deep) for name in label_paths(image))


def judge(path: Place, *, deep: bool = False) -> Verdict:
    """Everything that is wrong with one image. Raises StoreUnavailableError."""
    return _guarded(path, check, deep)


def _guarded(path: Place, check_metadata: Callable[[Dataset], list[Finding]], deep: bool) -> Verdict:
    """The verdict, whatever is wrong."""
    try:
        with about(path):
            dataset = open_dataset(path)
            if version := other_version(dataset):
                hint = "convert its metadata, which most readers want too"
                raise InputError(f"is of NGFF {version}, and 0.4, 0.5 and 0.6 are judged", hint=hint)
            return _judged(dataset, check_metadata(dataset), deep)
    except StoreUnavailableError:
        raise
    except ProcError as error:
        return Verdict(path=path, error=without_frames(error))
    except Exception as error:  # a library's surprise at a broken dataset, or a mistake of ours: the next one is judged all the same
        text = f"cannot be judged: {type(error).__name__}: {error}"
        return Verdict(path=path, error=ProcError(" ".join(text.split()), source=path))


def refuse_wrong(staging: Place) -> None:
    """Raise OutputError where the metadata of a dataset about to be published is wrong: better no dataset than one that misleads."""
    dataset = open_dataset(staging)
    collection = open_collection(dataset)
    if found := check(dataset) if collection is None else list(collection.findings):
        raise OutputError(
            f"is not published, since its metadata is wrong, which is a mistake of this program: {found[0].text}", source=staging
        )


def _judged(dataset: Dataset, findings: list[Finding], deep: bool) -> Verdict:
    findings += check_strays(dataset)
    for array in dataset.arrays:
        findings += check_stored(dataset, array, lengths=not deep)  # decoding finds more, and says what
    if deep:
        from omezarr_proc.check.pixels import check_pixels

        findings += check_pixels(dataset)
    total = sum(array.tile_count for array in dataset.arrays)
    return Verdict(path=dataset.path, findings=tuple(findings), ours=dataset.own is not None, levels=len(dataset.arrays), chunks=total)


def _judge_label(image: Place, name: str, deep: bool) -> Verdict:
    return _guarded(image / "labels" / name, lambda label: check_label(label, open_dataset(image)), deep)
