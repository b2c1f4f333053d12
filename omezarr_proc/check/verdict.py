"""All that is wrong with one dataset: metadata, files, and with `deep` its pixels."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from omezarr_proc.check.finding import Finding
from omezarr_proc.check.spec import check
from omezarr_proc.check.stored import check_stored
from omezarr_proc.model.errors import InputError, OutputError, about
from omezarr_proc.store.read import Dataset, open_dataset


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What was found of one dataset; `error`: it could not be opened at all."""

    path: Path
    findings: tuple[Finding, ...] = ()
    ours: bool = False
    levels: int = 0
    chunks: int = 0
    error: InputError | None = None

    @property
    def valid(self) -> bool:
        """Whether nothing is wrong; notes do not count."""
        return not self.error and not any(finding.is_error(self.ours) for finding in self.findings)


def judge(path: Path, *, deep: bool = False) -> Verdict:
    """Everything that is wrong with one dataset."""
    try:
        with about(path):
            dataset = open_dataset(path)
    except InputError as error:
        return Verdict(path=path, error=error)
    findings = [*check(dataset), *_layout(dataset)]
    for array in dataset.arrays:
        findings += check_stored(dataset, array, lengths=not deep)  # decoding finds more, and says what
    if deep:
        from omezarr_proc.check.pixels import check_pixels

        findings += check_pixels(dataset)
    total = sum(array.chunk_count for array in dataset.arrays)
    return Verdict(path=path, findings=tuple(findings), ours=dataset.own is not None, levels=len(dataset.arrays), chunks=total)


def refuse_wrong(staging: Path) -> None:
    """Raise OutputError where the metadata of a dataset about to be published is wrong: better no dataset than one that misleads."""
    if found := check(open_dataset(staging)):
        raise OutputError(
            f"is not published, since its metadata is wrong, which is a mistake of this program: {found[0].text}", source=staging
        )


def _layout(dataset: Dataset) -> Iterator[Finding]:
    """Files that do not belong there."""
    if dataset.zarr_format == 3:
        rule, hint = "no Zarr v2 files beside those of v3: Neuroglancer refuses the store", "remove it"
        folders = [Path(), *(Path(array.path) for array in dataset.arrays)]
        for name in (folder / name for folder in folders for name in (".zgroup", ".zattrs", ".zarray")):
            if (dataset.path / name).exists():
                yield Finding("viewers", str(name), "is there", rule, hint)
