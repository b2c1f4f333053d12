"""All settings in one table: the fields of `Settings`.

A field holds the default, the rule a value must obey and the help text. Its name is the attribute; in capitals it is the environment
variable, with dashes the command-line flag. What is read (`reading.py`), the flags, `--help` and the README's table all come from here.
"""

from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Literal

from omezarr_proc.config.entry import Entry, complaint, is_value, row, shortened, text_of
from omezarr_proc.config.part import PART
from omezarr_proc.config.rules import (
    CLUSTER,
    FILE,
    FLAG,
    IMAGES,
    INDICES,
    PLACE,
    PREVIEW,
    REGION,
    SEQUENCE,
    SPAN,
    TEXT,
    TOKEN,
    auto_or,
    choice,
    integer,
    power_of_two,
)
from omezarr_proc.config.secret import Secret
from omezarr_proc.model.address import Place
from omezarr_proc.model.errors import SettingsError
from omezarr_proc.model.indices import Indices
from omezarr_proc.model.part import Part

# Blosc has had an optional snappy, but no build that can be installed contains it; a test asks numcodecs' own list.
COMPRESSORS = ("zstd", "lz4", "lz4hc", "zlib")
NO_SNAPPY = f"snappy is in no Blosc build that can be installed; there are {', '.join(COMPRESSORS)}"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Every setting, checked. Paths are as given; `input_dir` is None when files are named instead."""

    input_dir: Place | None = field(default=None, metadata=row(PLACE, "where TIFFs are read (not needed when files are named)"))
    output_dir: Place = field(default=Path(), metadata=row(PLACE, "where datasets are written"))
    initial_downsample: int = field(
        default=2,
        metadata=row(power_of_two(1, 4096), "1 = full resolution included, 2 = start from 2x downsampled, 4, ...", shapes_output=True),
    )
    tile_size: int = field(default=256, metadata=row(power_of_two(64, 4096), "chunk size in y and x, in pixels", shapes_output=True))
    z_downsample: Literal["auto", "isotropic", "none"] = field(
        default="auto",
        metadata=row(
            choice("auto", "isotropic", "none"),
            "whether a level halves z with y and x: auto = where that keeps voxels nearest to cubes, by the file's own sizes; isotropic = "
            "always; none = never",
            shapes_output=True,
        ),
    )
    z_chunk: Literal["auto"] | int = field(
        default="auto",
        metadata=row(
            auto_or(integer(1, 1024)),
            "planes of a chunk; auto = 16 for volumes of 64 planes or more whose z spacing is at most twice that in the plane, else 1",
            shapes_output=True,
        ),
    )
    compression: Literal["zstd", "lz4", "lz4hc", "zlib"] = field(
        default="zstd", metadata=row(choice(*COMPRESSORS, refused={"snappy": NO_SNAPPY}), "Blosc compressor", shapes_output=True)
    )
    compression_level: int = field(default=5, metadata=row(integer(1, 9), "1 is fast, 9 is small", shapes_output=True))
    max_levels: int = field(default=0, metadata=row(integer(0), "most levels; 0 = until MIN_DIMENSION", shapes_output=True))
    min_dimension: int = field(default=256, metadata=row(integer(1), "stop when both y and x are at or below this", shapes_output=True))
    channel_chunking: Literal["auto", "per-channel", "bundled"] = field(
        default="auto",
        metadata=row(
            choice("auto", "per-channel", "bundled"),
            "auto = bundled for RGB (by the TIFF photometric tag), per-channel otherwise",
            shapes_output=True,
        ),
    )
    downsample_method: Literal["mean", "nearest", "mode", "max", "min"] = field(
        default="mean",
        metadata=row(
            choice("mean", "nearest", "mode", "max", "min"),
            "what of a box of pixels becomes one: its mean; its first pixel or its most frequent value (mode), both for label images; its "
            "largest or smallest value",
            shapes_output=True,
        ),
    )
    ome_xml: Literal["keep", "drop"] = field(
        default="keep",
        metadata=row(
            choice("keep", "drop"),
            "keep the input's OME-XML as OME/METADATA.ome.xml, or drop it (it can hold personal data)",
            shapes_output=True,
        ),
    )
    color: Literal["keep", "srgb"] = field(
        default="keep",
        metadata=row(
            choice("keep", "srgb"),
            "colours with an ICC profile: keep them as they are, with the profile as OME/profile.icc, or convert them to sRGB (CMYK too)",
        ),
    )
    images: Literal["auto", "all"] | tuple[int, ...] = field(
        default="auto",
        metadata=row(IMAGES, "which images of a file: auto = all but label, macro, thumbnail and overview"),
    )
    plates: Literal["auto", "off"] = field(
        default="auto",
        metadata=row(
            choice("auto", "off"),
            "auto = images that the OME-XML places on a well plate become one dataset, the plate; off = a dataset each",
        ),
    )
    sequence: str = field(
        default="",
        metadata=row(
            SEQUENCE,
            "files that are one image: img_z{z}_c{c}.tif joins those of such names by their time points, channels and slices; auto = "
            "--dry-run says what could be joined",
        ),
    )
    # What a crop takes is part of what identifies the image, not of what shapes the dataset: the whole has the key that it had.
    crop_region: tuple[int, int, int, int] | None = field(
        default=None, metadata=row(REGION, "convert only this part of each plane, in full-resolution pixels from the top left")
    )
    crop_channels: Indices | None = field(default=None, metadata=row(INDICES, "convert only these channels, counted from 0"))
    crop_z: Indices | None = field(default=None, metadata=row(SPAN, "convert only these planes along z, counted from 0"))
    crop_t: Indices | None = field(default=None, metadata=row(SPAN, "convert only these time points, counted from 0"))
    axes: Literal["auto", "czyx"] = field(
        default="auto",
        metadata=row(choice("auto", "czyx"), "auto = only axes that are there; czyx = z also for flat images", shapes_output=True),
    )
    zarr_format: Literal["3", "2"] = field(
        default="3",
        metadata=row(
            choice("3", "2"),
            "3 = Zarr v3 with NGFF 0.5 (or 0.6) and 0.4 metadata; 2 = Zarr v2 with NGFF 0.4, for readers that know nothing else (Viv 0.18)",
            shapes_output=True,
        ),
    )
    # Part of the key by itself: see `ngff/versions.py`.
    ngff_version: Literal["0.5", "0.6"] = field(
        default="0.5",
        metadata=row(
            choice("0.5", "0.6"),
            "version of the metadata of Zarr v3: 0.5 is what viewers read; 0.6 names coordinate systems, which few read yet",
        ),
    )
    sharding: Literal["auto", "on", "off"] = field(
        default="auto",
        metadata=row(
            choice("auto", "on", "off"),
            "whether up to 8 x 8 chunks are stored together as one object (shards, Zarr v3 only): auto = in object stores, of datasets "
            "with more than 1,000 chunks; not in folders",
        ),
    )
    use_existing_resolutions: bool = field(
        default=False,
        metadata=row(FLAG, "1 = take a stored level as base level where one is exactly INITIAL_DOWNSAMPLE smaller", shapes_output=True),
    )
    on_missing: Literal["error", "fill"] = field(
        default="error",
        metadata=row(choice("error", "fill"), "planes or segments that the file lacks: an error, or fill values", shapes_output=True),
    )
    on_corrupt: Literal["error", "warn"] = field(
        default="error",
        metadata=row(
            choice("error", "warn"),
            "a damaged segment of which its decoder still makes pixels: an error, or these pixels and a line in the log",
            shapes_output=True,
        ),
    )
    output_layout: Literal["folders", "root"] = field(
        default="folders",
        metadata=row(
            choice("folders", "root"),
            "folders = each image becomes a dataset in OUTPUT_DIR, by the name of its file; root = the one image or plate that there is "
            "becomes OUTPUT_DIR itself",
        ),
    )
    existing: Literal["replace", "skip", "fail", "force"] = field(
        default="replace",
        metadata=row(
            choice("replace", "skip", "fail", "force"),
            "a dataset of that name that is there already: one with the same source, settings and versions is left alone by replace and "
            "skip; another one is replaced, skipped, or an error (fail); force rebuilds always, and alone replaces what is no OME-Zarr "
            "dataset",
        ),
    )
    part: Part | None = field(
        default=None,
        metadata=row(
            PART,
            "this run makes its share of everything in INPUT_DIR, one of so many; auto = by the index of the array job (AWS Batch, SLURM, "
            "Kubernetes) that it is a task of; whoever finishes an image last publishes it",
        ),
    )
    cluster: str = field(
        default="",
        metadata=row(
            CLUSTER,
            "the scheduler of a Dask cluster (extra dask): its workers make the batch, each a share at a time; without it the platform's "
            "DASK_SCHEDULER_ADDRESS counts",
        ),
    )
    preview: bool | Literal["thumbnail"] = field(
        default=False,
        metadata=row(
            PREVIEW,
            "1 = also write a.ome.zarr.png beside a.ome.zarr: the whole image as viewers show it first; thumbnail = write "
            "thumbnail.png into OUTPUT_DIR, 256 x 256 pixels of the middle of the one dataset of the run",
        ),
    )
    ozx: bool = field(
        default=False,
        metadata=row(FLAG, "1 = also write a.ozx beside a.ome.zarr: the dataset as one file (a zip that is read as it is, RFC-9)"),
    )
    verify: bool = field(
        default=False,
        metadata=row(
            FLAG,
            "1 = before a dataset is published, make it anew of the input and compare every pixel with what is stored; a difference is an "
            "error, and nothing is published; one that is there already is compared too, and stays",
        ),
    )
    certificate: bool = field(
        default=False,
        metadata=row(
            FLAG,
            "1 = also write a.ome.zarr.certificate.json and a.ome.zarr.sha256 beside a.ome.zarr: SHA-256 of the input's files and "
            "pixels, of each level's pixels and of each object",
        ),
    )
    asset_properties: bool = field(
        default=False,
        metadata=row(
            FLAG, "1 = also write asset-properties.json into OUTPUT_DIR, which names the one dataset of the run to Pennsieve's data target"
        ),
    )
    max_workers: int = field(default=0, metadata=row(integer(0), "most worker processes; 0 = find out"))
    memory_limit_mb: int = field(default=0, metadata=row(integer(0), "most memory, in MB; 0 = find out"))
    max_pixels: int = field(
        default=1 << 40,
        metadata=row(integer(1), "most pixels of an image, in all its planes; one that states more is refused before any work"),
    )
    max_chunks: int = field(default=1 << 26, metadata=row(integer(1), "most chunks of a dataset; one that would have more is refused"))
    max_segments: int = field(default=1 << 24, metadata=row(integer(1), "most tiles or strips of a TIFF page; one with more is refused"))
    stall_seconds: int = field(
        default=600,
        metadata=row(integer(0), "a worker process that is stopped or stuck in storage for so long is replaced; 0 = never"),
    )
    log_level: str = field(
        default="INFO", metadata=row(choice("DEBUG", "INFO", "WARNING", "ERROR"), "the least severe messages that are shown")
    )
    log_format: Literal["text", "json"] = field(default="text", metadata=row(choice("text", "json"), "json for log collectors"))
    report: Path | None = field(
        default=None, metadata=row(FILE, "a JSON file that says what became of each image; written however the run ends")
    )
    metrics: Literal["none", "emf"] = field(
        default="none", metadata=row(choice("none", "emf"), "emf = lines of CloudWatch's embedded metric format in the log")
    )
    workflow_instance_id: str = field(default="", metadata=row(TEXT, "given by the platform"))
    execution_run_id: str = field(default="", metadata=row(TEXT, "given by the platform"))
    compute_node_id: str = field(default="", metadata=row(TEXT, "given by the platform"))
    integration_id: str = field(default="", metadata=row(TEXT, "given by the platform"))
    session_token: Secret = field(default=Secret(), metadata=row(TOKEN, "given by the platform; masked everywhere, never used"))
    refresh_token: Secret = field(default=Secret(), metadata=row(TOKEN, "given by the platform; masked everywhere, never used"))
    pennsieve_api_host: str = field(default="", metadata=row(TEXT, "given by the platform; never called"))
    pennsieve_api_host2: str = field(default="", metadata=row(TEXT, "given by the platform; never called"))
    environment: str = field(default="", metadata=row(TEXT, "given by the platform"))
    region: str = field(default="", metadata=row(TEXT, "given by the platform"))
    deployment_mode: str = field(default="", metadata=row(TEXT, "given by the platform: basic, secure or compliant"))

    def __post_init__(self) -> None:
        """Raise SettingsError, with every wrong value, for what no text of the environment gives."""
        wrong = []
        for entry in table():
            value, rule = getattr(self, entry.name), entry.rule
            unset = value is None is entry.default
            if rule not in (FILE, PLACE, TEXT, TOKEN) and not unset and not is_value(value, rule):
                wrong.append(complaint(entry.name, shortened(repr(value), str), rule, str(value)))
        if wrong:
            raise SettingsError(f"wrong settings: {'; '.join(wrong)}")

    def output_shaping(self) -> dict[str, str | int | bool]:
        """Return the settings that a published dataset depends on, for its key: JSON values, no path, no token."""
        return {entry.name: getattr(self, entry.name) for entry in table() if entry.shapes_output}

    def warnings(self) -> list[str]:
        """What is odd about the values, but no reason to do nothing."""
        known, mode = ("basic", "secure", "compliant"), self.deployment_mode
        if not mode or mode.casefold() in known:
            return []
        return [f"DEPLOYMENT_MODE={shortened(mode)} is none of {', '.join(known)}: nothing depends on it"]

    def ids(self) -> dict[str, str]:
        """What the platform calls this run, by the platform's names: those that are there."""
        names = ("workflowInstanceId", "executionRunId", "computeNodeId", "integrationId")
        values = (self.workflow_instance_id, self.execution_run_id, self.compute_node_id, self.integration_id)
        return {name: value for name, value in zip(names, values, strict=True) if value}

    def public(self) -> dict[str, str]:
        """All settings that are no token, as one would write them into the environment."""
        return {entry.variable: text_of(getattr(self, entry.name), entry.rule) for entry in table() if not entry.secret}

    def secrets(self) -> tuple[str, ...]:
        """Return the plain token values, for masking them in what is written."""
        values = (getattr(self, entry.name) for entry in table() if entry.secret)
        return tuple(value.reveal() for value in values if value)


@cache
def table() -> tuple[Entry, ...]:
    """The rows in the order of the fields."""
    return tuple(Entry(column.name, column.default, **column.metadata) for column in fields(Settings))
