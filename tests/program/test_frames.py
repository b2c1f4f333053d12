"""The way from the command to the first band is short, and is the one that the page on architecture shows."""

import re
import sys
from pathlib import Path

import pytest
from runs import ROOT, stack

from omezarr_proc import cli
from omezarr_proc.engine.local.pool import Pool
from omezarr_proc.engine.local.process import Worker
from omezarr_proc.work.tasks import Load, Make, Task

PACKAGE = Path(cli.__file__).parent


def test_the_frames_from_main_to_the_first_band_are_those_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ways: list[list[str]] = []
    submit = Pool.submit

    def noting(pool: Pool, worker: Worker, task: Task) -> None:
        if isinstance(task, Load | Make):
            ways.append(frames())
        submit(pool, worker, task)

    monkeypatch.setattr(Pool, "submit", noting)
    stack(tmp_path / "a.ome.tif", 1, 64)
    assert cli.main(["--quiet", "--output-dir", str(tmp_path / "out"), str(tmp_path / "a.ome.tif")]) == 0
    assert ways[0] == shown(), "\n".join(ways[0])


def frames() -> list[str]:
    """`cli.py main`, ...: what `noting` was called through."""
    way, frame = [], sys._getframe(2)
    while way[-1:] != ["cli.py main"]:
        code = frame.f_code
        way.append(f"{Path(code.co_filename).relative_to(PACKAGE)} {code.co_qualname}")
        assert frame.f_back
        frame = frame.f_back
    return way[::-1]


def shown() -> list[str]:
    page = (ROOT / "docs/architecture.md").read_text()
    count, table = re.findall(r"there are (\d+) frames.*?\n\n(.*?)\n\n", page, re.DOTALL)[0]
    rows = [re.findall(r"`([^`]+)`", row) for row in table.splitlines()]
    way = [f"{module} {name}" for module, *names in filter(None, rows) for name in names]
    assert len(way) == int(count) == 13
    return way
