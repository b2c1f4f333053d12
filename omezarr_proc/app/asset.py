"""What a platform is given beside the one dataset of a run: `asset-properties.json` and `thumbnail.png`, in OUTPUT_DIR.

The former is what Pennsieve's data target for assets is told of a dataset, as ts-zarr-py writes it beside its own:
`ASSET_PROPERTIES_FILE` of the data target names it; its object becomes the properties of the asset, and `root_path` is the dataset's path
below the folder that the file is in. The latter has the name and the size of what Pennsieve's Zarr-Thumbnail-Processor makes.
"""

import json
import os
from collections.abc import Sequence

from loguru import logger

from omezarr_proc.config.settings import Settings
from omezarr_proc.host.faults import output_error
from omezarr_proc.host.files import write_whole
from omezarr_proc.model.address import Address, Place
from omezarr_proc.model.outcome import Outcome
from omezarr_proc.store.remote import Bucket

PROPERTIES = "asset-properties.json"
THUMBNAIL = "thumbnail.png"


def write_beside(settings: Settings, outcomes: Sequence[Outcome]) -> None:
    """Write what the settings ask for; of several datasets, or none, nothing, and the log says so.

    A thumbnail that lies in the one dataset (OUTPUT_LAYOUT=root) is kept in step with it, asked for or not. Raises InputError, OutputError.
    """
    wanted = [PROPERTIES] * settings.asset_properties + [THUMBNAIL] * (settings.preview == "thumbnail")
    datasets = [outcome.target for outcome in outcomes if outcome.target and not outcome.error]
    if wanted and len(datasets) != 1:
        logger.warning(f"no {' and no '.join(wanted)} is written: it is of one dataset, and there are {len(datasets)}")
        return
    if PROPERTIES in wanted:
        write_properties(settings.output_dir, datasets[0])
    thumbnail = settings.output_dir / THUMBNAIL
    if THUMBNAIL in wanted or (settings.output_layout == "root" and datasets and _is_old(thumbnail, datasets[0])):
        from omezarr_proc.build.preview import write_thumbnail

        write_thumbnail(thumbnail, datasets[0])


def _is_old(picture: Place, dataset: Place) -> bool:
    from omezarr_proc.build.preview import is_current, is_there

    return is_there(picture) and not is_current(picture, dataset)


def write_properties(output_dir: Place, dataset: Place) -> None:
    """Name the dataset of a run. Raises OutputError."""
    text = json.dumps({"root_path": os.path.relpath(dataset, output_dir)}) + "\n"
    if isinstance(output_dir, Address):
        Bucket(output_dir).put(PROPERTIES, text.encode())
        return
    target = output_dir / PROPERTIES
    try:
        write_whole(target, text.encode())
    except OSError as error:
        raise output_error("cannot be written", error, target) from error
