"""The table of reductions: a row is all that a new one takes."""

from typing import get_args, get_type_hints

from omezarr_proc.api import Options
from omezarr_proc.config.settings import Settings
from omezarr_proc.pixels.reduction import REDUCTIONS


def test_the_settings_name_the_rows() -> None:
    assert get_args(get_type_hints(Settings)["downsample_method"]) == tuple(REDUCTIONS)
    assert get_args(get_type_hints(Options)["downsample_method"]) == tuple(REDUCTIONS)
