"""OME-TIFF to multi-resolution OME-Zarr pyramids, streamed in bounded memory.

From Python: `from omezarr_proc import convert`.
"""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from omezarr_proc.api import convert as convert
    from omezarr_proc.model.errors import InputError as InputError
    from omezarr_proc.model.errors import LimitError as LimitError
    from omezarr_proc.model.errors import OutOfTimeError as OutOfTimeError
    from omezarr_proc.model.errors import OutputError as OutputError
    from omezarr_proc.model.errors import ProcError as ProcError
    from omezarr_proc.model.errors import SettingsError as SettingsError
    from omezarr_proc.model.outcome import Outcome as Outcome

__version__ = "0.2.0"
REVISION_FILE = os.path.join(os.path.dirname(__file__), "REVISION")  # the image's build writes its commit there

_HOMES = {"convert": "api", "Outcome": "model.outcome"} | dict.fromkeys(
    ("InputError", "LimitError", "OutOfTimeError", "OutputError", "ProcError", "SettingsError"), "model.errors"
)


def commit() -> str | None:
    """The commit that the image was made of; None where the program does not run in one."""
    try:
        with open(REVISION_FILE) as file:
            return file.read() or None
    except OSError:
        return None


def version() -> str:
    """The version and, in the image, its commit: `0.2.0 (commit 1b20921...)`."""
    made_of = commit()
    return f"{__version__} (commit {made_of})" if made_of else __version__


def __getattr__(name: str) -> Any:
    """What a Python call needs is imported when it is asked for: the command line would wait for it otherwise."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
