"""TIFFs opened as `view` opens them, all at once."""

from pathlib import Path
from typing import Any

from omezarr_proc.app.inputs import named
from omezarr_proc.app.live import LiveFiles
from omezarr_proc.model.errors import ProcError


def open_all(*names: str | Path, **how: Any) -> dict[str, Any]:
    """The images by name of the files that can be opened."""
    files = LiveFiles(named([str(name) for name in names]), **how)
    found: dict[str, Any] = {}
    for name in files.names():
        try:
            found |= files.open(name).images
        except ProcError:
            continue
    return found
