# fixtures by their names
"""An ECS task: 512 MB, 64 MB of shared memory, a read-only root, another user, process 1, in every view of the cgroup."""

import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from objectserver import container_credentials, object_server, store
from runs import FLAGS, ROOT, Reference, digest, sandbox, sandboxed, slide_run

__all__ = ["object_server", "slide_run", "store"]  # fixtures

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


@sandboxed
@pytest.mark.slow
def test_a_task_goes_from_bucket_to_bucket_with_the_credentials_of_its_role(slide_run: Reference, store, tmp_path: Path) -> None:
    """No folder but /tmp can be written to, and of the credentials the task has only the endpoint that gives them, and its token."""
    store(slide_run.source, "in/slide.ome.tif")
    places = ["--input-dir", f"{store.address}/in", "--output-dir", f"{store.address}/out"]
    token = Path(tempfile.mkdtemp()) / "token"
    token.write_text("of the task")
    token.parent.chmod(0o755)
    try:
        with container_credentials(token.read_text()) as endpoint:
            environ = {name: value for name, value in store.environ.items() if "KEY" not in name}
            environ |= {"AWS_CONTAINER_CREDENTIALS_FULL_URI": endpoint, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token)}
            binds = [f"bind={sys.prefix}", f"bind={ROOT}", f"bind={token.parent}"]
            options = ["512", "shm=64m", "view=docker", "ecs=2:512", "ro=1", "tmp=64m", "uid=1000", "pid1=1", *binds]
            command = [sys.executable, "-m", "omezarr_proc", *places, *FLAGS]
            variables = [f"env={name}={value}" for name, value in environ.items()]
            status, text, report = sandbox([*options, *variables], command, tmp_path / "report.json")
    finally:
        shutil.rmtree(token.parent)
    assert status == 0, text
    assert (report["oom_kill"], report["left_processes"]) == (0, [])
    assert int(str(report["peak_working_set_bytes"])) < 512 << 20
    found = store.objects("out/slide.ome.zarr/")
    assert {key for key in found | slide_run.expected if found.get(key) != slide_run.expected.get(key)} == {"zarr.json"}  # its key
