"""Settings out of an environment, or the error that names what is wrong with it."""

from collections.abc import Mapping

from omezarr_proc.config.reading import read_settings
from omezarr_proc.config.settings import Settings


def load_settings(environ: Mapping[str, str], overrides: Mapping[str, str], *, files_named: bool = False) -> Settings:
    """As `read_settings`; raises SettingsError."""
    settings, error = read_settings(environ, overrides, files_named=files_named)
    if error:
        raise error
    return settings
