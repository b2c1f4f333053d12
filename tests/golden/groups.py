"""Which inputs are converted with which settings: every setting that shapes a dataset, and plans that must not show in it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.golden import inputs
from tests.golden.inputs import Input

SAMPLES = Path(__file__).parents[2] / "data" / "input"
SMALL = ("--initial-downsample", "1", "--tile-size", "64", "--min-dimension", "32")
SHARDS = ("--sharding", "on")
LITTLE = ("--memory-limit-mb", "128", "--max-workers", "1")
MORE = ("--memory-limit-mb", "512", "--max-workers", "2")


@dataclass(frozen=True)
class Group:
    """Inputs that are converted together by one call of the program.

    flags  what shapes the datasets
    plans  what does not: the datasets are the same with each of these flags
    slow   more of these, which only `make soak` takes
    dies   whether the first run is killed and another one goes on from what it has finished
    """

    name: str
    inputs: tuple[Input, ...]
    flags: tuple[str, ...] = ()
    plans: tuple[tuple[str, ...], ...] = ((),)
    slow: tuple[tuple[str, ...], ...] = ()
    dies: bool = False


def _all(*makers: Callable[[], Iterable[Input]]) -> tuple[Input, ...]:
    return tuple(entry for maker in makers for entry in maker())


def _named(*names: str) -> tuple[Input, ...]:
    known = {entry.name.partition(".")[0]: entry for entry in EVERY}
    return tuple(known[name] for name in names)


def _sample(name: str) -> Input:
    return Input(name, lambda path: path.write_bytes((SAMPLES / name).read_bytes()))


EVERY = _all(inputs.codecs, inputs.dtypes, inputs.layouts, inputs.stacks, inputs.volumes, inputs.sparse, inputs.large)
FEW = _named("rgb-tiles", "deflate-strips", "dtype-f4", "ome-5d")

GROUPS = (
    Group("codecs", _all(inputs.codecs), SMALL, (MORE,), (LITTLE,)),
    Group("dtypes", _all(inputs.dtypes), SMALL, (MORE,), (LITTLE,)),
    Group("layouts", _all(inputs.layouts), SMALL, (MORE,), (LITTLE,)),
    Group("stacks", _all(inputs.stacks), SMALL, (MORE,), (LITTLE,)),
    Group("large", _all(inputs.large), ("--tile-size", "512"), (LITTLE, MORE)),
    Group("volumes", _all(inputs.volumes), ("--tile-size", "64", "--min-dimension", "16"), (MORE,), (LITTLE,)),
    Group("isotropic", _named("ome-z", "ome-5d"), (*SMALL, "--z-downsample", "isotropic", "--z-chunk", "3"), (MORE,), (LITTLE,)),
    Group("flat-volumes", _named("volume"), (*SMALL, "--z-downsample", "none", "--z-chunk", "1")),
    Group("resumed", _named("ome-z", "ome-5d"), SMALL, (LITTLE,), (MORE,), dies=True),
    Group("shards", _named("rgb-tiles", "tiles-240", "strips-of-7", "ome-5d", "volume"), (*SMALL, *SHARDS), (MORE,), (LITTLE,)),
    Group("shards-per-channel", _named("rgb-tiles", "volume"), (*SMALL, *SHARDS, "--channel-chunking", "per-channel", "--z-chunk", "1")),
    Group("resumed-shards", _named("ome-z", "ome-5d"), (*SMALL, *SHARDS), (LITTLE,), (MORE,), dies=True),
    Group("defaults", (*FEW, _sample("brightfield.ome.tiff"), _sample("fluorescence.ome.tiff"))),
    Group(
        "downsample-2", _named("rgb-tiles", "nan-inf", "size-1x1", "tiles-16x48", "ome-z"), ("--tile-size", "64", "--min-dimension", "16")
    ),
    Group("downsample-4", FEW, ("--initial-downsample", "4", "--tile-size", "64", "--min-dimension", "8")),
    Group("downsample-8", FEW, ("--initial-downsample", "8", "--tile-size", "64", "--min-dimension", "1")),
    Group("tile-128", FEW, ("--initial-downsample", "1", "--tile-size", "128", "--compression", "lz4")),
    Group("tile-1024", _named("rgb-tiles", "large-raw"), ("--tile-size", "1024", "--compression", "lz4", "--compression-level", "1")),
    Group("zstd-1", FEW, (*SMALL, "--compression-level", "1")),
    Group("zstd-9", FEW[:2], (*SMALL, "--compression-level", "9")),
    Group("lz4hc-9", FEW, (*SMALL, "--compression", "lz4hc", "--compression-level", "9")),
    Group("zlib-3", FEW, (*SMALL, "--compression", "zlib", "--compression-level", "3")),
    Group("levels-2", FEW, (*SMALL, "--max-levels", "2")),
    Group("per-channel", _named("rgb-tiles", "rgb-separate-tiles", "ome-5d"), (*SMALL, "--channel-chunking", "per-channel")),
    Group("bundled", _named("rgb-separate-strips", "ome-5d", "ome-channels"), (*SMALL, "--channel-chunking", "bundled")),
    Group("nearest", FEW, (*SMALL, "--downsample-method", "nearest")),
    Group("nearest-4", FEW, ("--initial-downsample", "4", "--tile-size", "64", "--downsample-method", "nearest")),
    Group("mode", FEW, (*SMALL, "--downsample-method", "mode"), (MORE,), (LITTLE,)),
    Group("mode-32", _named("tiles-16x48", "volume"), ("--initial-downsample", "32", "--tile-size", "64", "--downsample-method", "mode")),
    Group("max", FEW, (*SMALL, "--downsample-method", "max")),
    Group("min-4", FEW, ("--initial-downsample", "4", "--tile-size", "64", "--downsample-method", "min")),
    Group("profile", _all(inputs.colours), SMALL),
    Group("srgb", _all(inputs.inked), (*SMALL, "--color", "srgb"), (MORE,), (LITTLE,)),
    Group("no-xml", _named("ome-5d", "ome-rgb"), (*SMALL, "--ome-xml", "drop")),
    Group("czyx", _named("rgb-tiles", "dtype-u2", "ome-5d"), (*SMALL, "--axes", "czyx")),
    Group("zarr-2", _named("rgb-tiles", "dtype-u1", "dtype-f4", "ome-5d", "ome-channels", "pages"), (*SMALL, "--zarr-format", "2")),
    Group("zarr-2-czyx", _named("rgb-tiles", "dtype-u2"), (*SMALL, "--zarr-format", "2", "--axes", "czyx", "--compression", "lz4")),
    Group("existing-levels", _named("pyramid"), ("--use-existing-resolutions", "1", "--tile-size", "64", "--min-dimension", "32")),
    Group("fill", _all(inputs.sparse), (*SMALL, "--on-missing", "fill")),
    Group("second-image", _named("two-images"), (*SMALL, "--images", "1")),
)
