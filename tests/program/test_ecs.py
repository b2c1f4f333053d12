"""An ECS task: 512 MB, 64 MB of shared memory, a read-only root, another user, process 1, in every view of the cgroup."""

import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from runs import FLAGS, ROOT, Reference, digest, sandbox, sandboxed, slide_run

__all__ = ["slide_run"]  # fixtures

VIEWS = ["docker", "ancestor", "ns", "v2", "none"]


@sandboxed
@pytest.mark.parametrize("view", [view if view == "none" else pytest.param(view, marks=pytest.mark.slow) for view in VIEWS])
def test_task(slide_run: Reference, tmp_path: Path, view: str) -> None:
    shared = Path(tempfile.mkdtemp())  # pytest's own folder is closed to other users
    shared.chmod(0o777)
    try:
        shutil.copy2(slide_run.source, shared)
        command = [sys.executable, "-m", "omezarr_proc", shared / slide_run.source.name, "--output-dir", shared / "out", *FLAGS[:2]]
        binds = [f"bind={sys.prefix}", f"bind={ROOT}", f"bind={shared}:{shared}:rw"]
        options = ["512", "shm=64m", f"view={view}", "ecs=2:512", "ro=1", "tmp=64m", "uid=1000", "pid1=1", *binds]
        status, text, report = sandbox(options, [*command, "--log-level", "DEBUG"], tmp_path / "report.json")
        assert status == 0, text
        assert (report["oom_kill"], report["left_processes"], report["left_shm"]) == (0, [], [])
        assert int(str(report["peak_dev_shm_bytes"])) < 64 << 10  # numcodecs makes a semaphore where it can
        assert int(str(report["peak_working_set_bytes"])) < 512 << 20
        assert digest(shared / "out/slide.ome.zarr") == slide_run.expected
    finally:
        shutil.rmtree(shared)
