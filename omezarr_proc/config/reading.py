"""What becomes `Settings`: texts of the environment and of flags, or values of a Python call. All that is wrong is told at once."""

from collections.abc import Mapping
from typing import Any

from omezarr_proc.config.entry import complaint, shortened, text_of
from omezarr_proc.config.part import AutoPart, numbered
from omezarr_proc.config.rules import CLUSTER, FILE, PLACE
from omezarr_proc.config.secret import Mask
from omezarr_proc.config.settings import Settings, table
from omezarr_proc.model.address import Address, Place
from omezarr_proc.model.errors import SettingsError

_UNSET = {"INPUT_DIR": "name files, or the folder that they are in", "OUTPUT_DIR": "name the folder that datasets go into"}


def read_settings(
    environ: Mapping[str, str], overrides: Mapping[str, str], *, files_named: bool = False
) -> tuple[Settings, SettingsError | None]:
    """Settings from texts; both mappings go by variable name (`TILE_SIZE`), `overrides` win, an empty text counts as unset.

    INPUT_DIR is required unless `files_named`, OUTPUT_DIR always. Returns what is right beside an error that names every wrong value, so
    that it can be said where and how the user wants to hear it.
    """
    texts = {entry.variable: overrides.get(entry.variable) or environ.get(entry.variable) or "" for entry in table()}
    mask = Mask(texts[entry.variable].strip() for entry in table() if entry.secret)
    required = ("OUTPUT_DIR",) if files_named else ("INPUT_DIR", "OUTPUT_DIR")
    values: dict[str, Any] = {}
    wrong = [f"{name} is not set: {_UNSET[name]}" for name in required if not texts[name]]
    for entry in table():
        text = texts[entry.variable] if entry.rule in (FILE, PLACE) else texts[entry.variable].strip()
        if not text:
            continue
        try:
            values[entry.name] = entry.rule.parse(text)
        except ValueError:
            wrong.append(complaint(entry.variable, shortened(mask(text)), entry.rule, text))
    if isinstance(part := values.get("part"), AutoPart):
        try:
            values["part"] = numbered(part, environ)
        except SettingsError as error:
            del values["part"]
            wrong.append(error.message)
    address = environ.get("DASK_SCHEDULER_ADDRESS", "").strip()
    if not (texts["CLUSTER"] or texts["PART"]) and CLUSTER.takes(address):
        values["cluster"] = address
    settings = Settings(**values)
    wrong += _contradictions(settings)
    return settings, SettingsError(f"wrong settings: {'; '.join(wrong)}") if wrong else None


def settings_of(values: Mapping[str, Any], **folders: Place) -> Settings:
    """Settings from Python's values (`tile_size=512`), by the rules of the environment's texts; folders are taken as they are.

    Raises SettingsError: one message with every wrong value.
    """
    parsed: dict[str, Any] = {}
    wrong = []
    for entry in table():
        if entry.name not in values:
            continue
        value = values[entry.name]
        try:
            parsed[entry.name] = entry.rule.parse(text_of(value, entry.rule))
        except ValueError:
            wrong.append(complaint(entry.name, shortened(repr(value), str), entry.rule, str(value)))
    if isinstance(part := parsed.get("part"), AutoPart):  # of the environment, which is not read here
        del parsed["part"]
        wrong.append(f"part='{part}' must name its number: 1/{part.of} to {part.of}/{part.of}")
    settings = Settings(**parsed | folders)
    wrong += _contradictions(settings)
    if wrong:
        raise SettingsError(f"wrong settings: {'; '.join(wrong)}")
    return settings


def _contradictions(settings: Settings) -> list[str]:
    """What is wrong with values that are right by themselves."""
    wrong = []
    if settings.sharding == "on" and settings.zarr_format == "2":
        wrong.append("Zarr v2 has no shards: SHARDING=on needs ZARR_FORMAT=3")
    if settings.ngff_version == "0.6" and settings.zarr_format == "2":
        wrong.append("NGFF 0.6 is defined for Zarr v3 only: NGFF_VERSION=0.6 needs ZARR_FORMAT=3")
    if settings.ozx and (settings.zarr_format == "2" or settings.output_layout == "root" or isinstance(settings.output_dir, Address)):
        wrong.append("OZX=1 needs ZARR_FORMAT=3, OUTPUT_LAYOUT=folders and an OUTPUT_DIR that is a folder")
    if settings.part and settings.cluster:
        wrong.append("PART is not possible with CLUSTER, which gives each worker its part: leave one of them out")
    if (settings.part or settings.cluster) and settings.existing == "force":
        wrong.append(
            f"EXISTING=force is not possible with {'PART' if settings.part else 'CLUSTER'}, since each part would begin anew: remove the"
            " datasets, or choose replace"
        )
    if settings.part and settings.asset_properties:
        wrong.append("ASSET_PROPERTIES=1 is not possible with PART: no part knows all datasets")
    return wrong
