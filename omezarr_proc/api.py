"""A Python call: `from omezarr_proc import convert`.

It does nothing behind its caller's back: the process is neither forked nor given handlers of signals, the environment is neither read for
settings nor changed, and nothing is logged unless the caller says `loguru.logger.enable("omezarr_proc")`.
"""

import os
from collections.abc import Callable, Sequence
from typing import Literal, TypedDict, Unpack

from loguru import logger

from omezarr_proc.host.system import check_system

check_system()

from omezarr_proc.app import batch  # noqa: E402
from omezarr_proc.app.collect import collect  # noqa: E402
from omezarr_proc.app.report import Report  # noqa: E402
from omezarr_proc.app.words import is_place  # noqa: E402
from omezarr_proc.config.reading import settings_of  # noqa: E402
from omezarr_proc.model.address import absolute  # noqa: E402
from omezarr_proc.model.errors import SettingsError  # noqa: E402
from omezarr_proc.model.events import Summary  # noqa: E402
from omezarr_proc.model.outcome import Outcome  # noqa: E402

PathLike = str | os.PathLike[str]
# Told of an image's source, how many pixels of its dataset are done, and how many there are.
Progress = Callable[[str, int, int], object]

logger.disable("omezarr_proc")


class Options(TypedDict, total=False):
    """The settings of a call, by their names in Python: the README's table says what each means."""

    initial_downsample: int
    tile_size: int
    z_downsample: Literal["auto", "isotropic", "none"]
    z_chunk: Literal["auto"] | int
    compression: Literal["zstd", "lz4", "lz4hc", "zlib"]
    compression_level: int
    max_levels: int
    min_dimension: int
    channel_chunking: Literal["auto", "per-channel", "bundled"]
    downsample_method: Literal["mean", "nearest", "mode", "max", "min"]
    ome_xml: Literal["keep", "drop"]
    color: Literal["keep", "srgb"]
    images: Literal["auto", "all"] | Sequence[int]
    sequence: str
    plates: Literal["auto", "off"]
    crop_region: tuple[int, int, int, int]
    crop_channels: str | int | Sequence[int]
    crop_z: str | int | Sequence[int]
    crop_t: str | int | Sequence[int]
    axes: Literal["auto", "czyx"]
    zarr_format: Literal["3", "2", 3, 2]
    ngff_version: Literal["0.5", "0.6"]
    sharding: Literal["auto", "on", "off"]
    use_existing_resolutions: bool
    on_missing: Literal["error", "fill"]
    on_corrupt: Literal["error", "warn"]
    output_layout: Literal["folders", "root"]
    existing: Literal["replace", "skip", "fail", "force"]
    part: str
    cluster: str
    preview: bool | Literal["thumbnail"]
    ozx: bool
    verify: bool
    certificate: bool
    asset_properties: bool
    max_workers: int
    memory_limit_mb: int
    max_pixels: int
    max_chunks: int
    max_segments: int
    stall_seconds: int


def convert(
    inputs: PathLike | Sequence[PathLike],
    output_dir: PathLike,
    *,
    progress: Progress | None = None,
    deadline: float | None = None,
    **settings: Unpack[Options],
) -> list[Outcome]:
    """Convert TIFFs to OME-Zarr, and return what became of each image, in the order of the inputs.

    inputs      a file, a folder with its subfolders, or several files; or addresses in an object store (a folder there: no name of a TIFF)
    output_dir  the folder of the datasets, which is made where it is missing, or an address in an object store
    progress    called in this thread; what it raises ends the call and is raised from it, and the next call goes on from there
    deadline    when to stop in good order, as time.monotonic() counts
    settings    as on the command line, in Python's values: `tile_size=512, images=(0, 2), preview=True`

    One image that fails stops no other: see `Outcome.error`. Raises SettingsError for a wrong setting or where there is nothing to convert,
    and ProcError where no worker can be started. Several calls at once, in threads or processes, share the machine: give each its
    `max_workers` and `memory_limit_mb`.
    """
    unknown = sorted(settings.keys() - Options.__annotations__.keys())
    if unknown:
        raise SettingsError(f"wrong settings: there is no {', '.join(unknown)}; there are {', '.join(sorted(Options.__annotations__))}")
    files = [inputs] if isinstance(inputs, str | os.PathLike) else list(inputs)
    paths = [absolute(os.fspath(file)) for file in files]  # whatever folder the caller goes to meanwhile
    if not paths:
        raise SettingsError("no input is named")
    is_folder = isinstance(inputs, str | os.PathLike) and is_place(paths[0])
    places = {"output_dir": absolute(os.fspath(output_dir))} | ({"input_dir": paths[0]} if is_folder else {})
    chosen = settings_of({**settings, **places})
    found = collect(chosen, () if is_folder else paths, create_output=True)
    try:
        return batch.run(chosen, found, _Told(progress) if progress else Report(), deadline=deadline, may_fork=False)
    except _StoppedError as stopped:
        raise stopped.reason from None


class _StoppedError(BaseException):
    """The caller's function has raised `reason`: no fault of an input, so nothing on the way may take it for one."""

    def __init__(self, reason: Exception) -> None:
        super().__init__()
        self.reason = reason


class _Told(Report):
    """Hands progress to the caller's function."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress
        self._source, self._done, self._total = "", 0, 0

    def start(self, name: str, total: int, unit: str = "px", done: int = 0) -> None:
        """Begin an image."""
        self._source, self._total = name, total
        self._tell(done)

    def advance(self, amount: int) -> None:
        """Count what is done."""
        self._tell(min(self._done + amount, self._total))

    def at_once(self, name: str, total: int) -> None:
        """An image was made by one worker."""
        self.start(name, total)
        self.advance(total)

    def finish(self, summary: Summary) -> None:
        """End an image that has been converted."""
        super().finish(summary)
        if self._done < self._total:  # what an earlier run had done was told in whole percents
            self._tell(self._total)

    def _tell(self, done: int) -> None:
        self._done = done
        try:
            self._progress(self._source, done, self._total)
        except Exception as error:
            raise _StoppedError(error) from error
