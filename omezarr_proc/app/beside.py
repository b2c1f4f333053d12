"""What lies beside a dataset and is kept in step with it, asked for or not where it is there already: picture, one file, certificate.

A dataset that was there already is held against its input before it is certified: it may have been changed, or damaged, since.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from loguru import logger

from omezarr_proc.host.background import side_by_side
from omezarr_proc.model.address import Address, Place
from omezarr_proc.model.errors import DifferentOutputError, InTheWayError
from omezarr_proc.model.text import shown

if TYPE_CHECKING:
    from omezarr_proc.build.image import Conversion
    from omezarr_proc.build.plate import PlateConversion


def keep_in_step(conversion: "Conversion | PlateConversion", dataset: Place, target: Place, *, is_new: bool) -> None:
    """Make what is wanted beside a finished dataset, or out of date; `is_new`: the dataset was published just now.

    target  what files beside it are named after (see `hidden.inside`)

    Raises ProcError, DifferentOutputError where the dataset is not what its input gives; the dataset stays.
    """
    certified = _wants_certificate(conversion, target, is_new=is_new)
    verified = conversion.means.settings.verify
    if not is_new and (verified or certified):
        verified = _compare(conversion, dataset)
        certified = certified and verified
    _picture(conversion, dataset, target, is_new=is_new)
    if certified:
        _certificate(conversion, dataset, target, verified=verified)
    _one_file(conversion, dataset, is_new=is_new or certified)  # the certificate is in the dataset too


def is_beside(conversion: "Conversion | PlateConversion", target: Address) -> bool:
    """Whether something is wanted beside a dataset in an object store, or there already; else there is nothing to keep in step.

    Raises OutputError.
    """
    from omezarr_proc.build.certified import certified_key
    from omezarr_proc.build.preview import is_there, preview_path

    settings = conversion.means.settings
    if settings.preview is True or settings.certificate or settings.verify:
        return True
    return any(side_by_side([lambda: is_there(preview_path(target)), lambda: certified_key(target) is not None]))


def _compare(conversion: "Conversion | PlateConversion", dataset: Place) -> bool:
    """Hold a dataset that was there already against its input; False, and a warning, where it is of another input or other settings."""
    from omezarr_proc.build.verify import different
    from omezarr_proc.store.read import open_dataset

    means = conversion.means
    if (open_dataset(dataset).own or {}).get("key") != conversion.key:
        logger.warning(f"{shown(dataset)} is of another input or with other settings: it is not compared, and gets no certificate")
        return False
    logger.info(f"{shown(dataset)}: is compared with its input")
    for path, image in conversion.made_of.items():
        place = dataset / path if path else dataset
        if what := different(open_dataset(place), image, means.settings, means.engine, means.limits):
            raise DifferentOutputError(
                f"is there already, and is not what the input gives: {what}",
                source=place,
                hint="EXISTING=force makes it anew; look at what has changed it: memory, storage or somebody",
            )
    means.engine.rest()
    return True


def _picture(conversion: "Conversion | PlateConversion", dataset: Place, target: Place, *, is_new: bool) -> None:
    from omezarr_proc.build.preview import is_current, is_there, preview_path, write_preview

    picture = preview_path(target)
    wanted = conversion.means.settings.preview is True or is_there(picture)
    if wanted and (is_new or not is_current(picture, dataset)):
        conversion.means.engine.rest()  # the picture may take what they had
        write_preview(picture, dataset)


def _one_file(conversion: "Conversion | PlateConversion", dataset: Place, *, is_new: bool) -> None:
    from omezarr_proc.build.one_file import key_of, one_file_path, write_one_file
    from omezarr_proc.publish.existing import stored_key

    if not isinstance(dataset, Path):
        return
    file, asked = one_file_path(dataset), conversion.means.settings.ozx
    if not os.path.lexists(file):
        if asked:
            write_one_file(dataset, file)
        return
    if (key := key_of(file)) is None:
        if asked:
            raise InTheWayError("is there already, and is no dataset of omezarr_proc: remove it", source=file)
    elif is_new or key != stored_key(dataset):
        write_one_file(dataset, file)


def _wants_certificate(conversion: "Conversion | PlateConversion", target: Place, *, is_new: bool) -> bool:
    from omezarr_proc.build.certified import certified_key

    certified = certified_key(target)
    return (conversion.means.settings.certificate or certified is not None) and (is_new or certified != conversion.key)


def _certificate(conversion: "Conversion | PlateConversion", dataset: Place, target: Place, *, verified: bool) -> None:
    from omezarr_proc.build.certificate import Certifier

    means = conversion.means
    more = "" if verified else "; VERIFY=1 compares every pixel with the input too"
    logger.info(f"{shown(dataset)}: its certificate is made{more}")
    means.report.phase("certificate")
    Certifier(
        target=target,
        dataset=dataset,
        key=conversion.key,
        states=conversion.states,
        images=conversion.made_of,
        taken=conversion.taken_of,
        means=means,
        verified=verified,
    ).write()
