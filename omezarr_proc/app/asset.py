"""`asset-properties.json`: what Pennsieve's data target for assets is told of a dataset, as ts-zarr-py writes it beside its own.

`ASSET_PROPERTIES_FILE` of the data target names it; its object becomes the properties of the asset. `root_path` is the dataset's path below
the folder that the file is in.
"""

import json
import os
from collections.abc import Sequence

from loguru import logger

from omezarr_proc.host.faults import output_error
from omezarr_proc.host.files import write_whole
from omezarr_proc.model.address import Address, Place
from omezarr_proc.model.outcome import Outcome
from omezarr_proc.store.remote import Bucket

NAME = "asset-properties.json"


def write_properties(output_dir: Place, outcomes: Sequence[Outcome]) -> None:
    """Name the dataset of a run; with several, or none, nothing is written, and the log says so. Raises OutputError."""
    datasets = [outcome.target for outcome in outcomes if outcome.target and not outcome.error]
    if len(datasets) != 1:
        logger.warning(f"no {NAME} is written: it names one dataset, and there are {len(datasets)}")
        return
    text = json.dumps({"root_path": os.path.relpath(datasets[0], output_dir)}) + "\n"
    if isinstance(output_dir, Address):
        Bucket(output_dir).put(NAME, text.encode())
        return
    target = output_dir / NAME
    try:
        write_whole(target, text.encode())
    except OSError as error:
        raise output_error("cannot be written", error, target) from error
