# fixtures by their names
"""AWS Lambda: deadlines and the invocation after, batches, memory sizes, an OOM in between, and nothing left for the next event."""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from objectserver import object_server, store
from runs import ROOT, TOOLS, Reference, digest, needs_root, needs_shared, run, slide, slide_run, stack, volume

from omezarr_proc.app import batch as process
from omezarr_proc.app import opening, together
from omezarr_proc.app.making import Making
from omezarr_proc.build.image import Conversion
from omezarr_proc.handler import handler
from omezarr_proc.model.errors import OutOfTimeError
from omezarr_proc.model.events import Summary

__all__ = ["object_server", "slide_run", "store"]  # fixtures

LAMBDA = TOOLS / "lambda_sandbox.py"
needs_runtime = pytest.mark.skipif(importlib.util.find_spec("awslambdaric") is None, reason="needs awslambdaric")


def context(seconds: float) -> SimpleNamespace:
    end = time.monotonic() + seconds
    return SimpleNamespace(get_remaining_time_in_millis=lambda: int((end - time.monotonic()) * 1000))


def test_ten_images_are_done_after_four_calls_that_have_time_for_three_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(10):
        stack(tmp_path / f"{number}.ome.tif", 4, 256)
    out = tmp_path / "out"
    event = {"inputDir": str(tmp_path), "outputDir": str(out)}
    late = [0.0]  # seconds by which the clock is ahead
    converted: list[Path] = []
    make_one = Conversion.stage

    def make_and_wait(conversion: Conversion, target: Path, tree: Any) -> Summary:
        summary = make_one(conversion, target, tree)
        converted.append(target)
        late[0] += 300  # each takes five of the fifteen minutes
        return summary

    monkeypatch.setattr(Conversion, "stage", make_and_wait)
    monkeypatch.setattr(Making, "_by_all", lambda making, member: True)  # in this process, one after another
    for module in (process, opening, together):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + late[0]))
    for done in (3, 6, 9):
        late[0] = 0
        with pytest.raises(OutOfTimeError, match="not begun, since time is up; run it again to go on"):
            handler(event, context(900))
        assert len(converted) == done and len(list(out.glob("*.ome.zarr"))) == done
    late[0] = 0
    assert handler(event, context(900))["status"]
    assert len(converted) == len(set(converted)) == 10
    assert sorted(os.listdir(out)) == [f"{number}.ome.zarr" for number in range(10)]
    run("--input-dir", tmp_path, "--output-dir", tmp_path / "undisturbed", "--quiet")
    assert digest(out) == digest(tmp_path / "undisturbed")


def test_warm_invocations_leave_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    stack(tmp_path / "a.ome.tif", 4, 256)
    event = {"inputDir": str(tmp_path), "outputDir": str(tmp_path / "out"), "EXISTING": "force", "sessionToken": "s3cret"}
    me, environ = psutil.Process(), dict(os.environ)
    others = me.children(recursive=True)  # a server of other tests
    handler(event, context(900))
    before = me.num_fds()
    for _ in range(2):
        handler(event, context(900))
    assert me.num_fds() <= before
    assert me.children(recursive=True) == others
    assert dict(os.environ) == environ
    assert os.listdir(temporary) == []
    assert os.listdir(tmp_path / "out") == ["a.ome.zarr"]


def invoke(folder: Path, *options: str, events: list[object]) -> list[dict[str, object]]:
    """Invoke in the imitation of Lambda: input in `folder/in`, output in `folder/out`."""
    (folder / "out").mkdir(exist_ok=True)
    (folder / "out").chmod(0o777)
    arguments = [argument for event in events for argument in ("--event", json.dumps(event))]
    binds = ["--bind", sys.prefix, "--bind", str(ROOT), "--bind", str(folder / "in"), "--bind", f"{folder / 'out'}::rw"]
    command = [str(LAMBDA), *options, *binds, "--env", f"PYTHONPATH={ROOT}", *arguments, "--", sys.executable, "-m", "awslambdaric"]
    done = subprocess.run([*command, "omezarr_proc.handler.handler"], capture_output=True, text=True)
    if done.returncode == 125:
        pytest.skip(f"no sandbox can be made here: {done.stderr.strip()[-300:]}")
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert lines, done.stderr
    assert all(line["processes_left"] == [] for line in lines)
    return lines


def event_for(folder: Path, **more: object) -> dict[str, object]:
    return {"inputDir": str(folder / "in"), "outputDir": str(folder / "out")} | more


def sandboxed_lambda(test):
    return pytest.mark.slow(pytest.mark.root(pytest.mark.shared(needs_root(needs_shared(needs_runtime(test))))))


@sandboxed_lambda
@pytest.mark.parametrize("megabytes", [128, 256, 512, 1769, 10240])
def test_every_size_of_function(slide_run: Reference, tmp_path: Path, megabytes: int) -> None:
    (tmp_path / "in").mkdir()
    os.link(slide_run.source, tmp_path / "in/slide.ome.tif")
    events = [event_for(tmp_path, TILE_SIZE=128, EXISTING="force")] * 2 + [event_for(tmp_path, inputDir="/gone"), [1]]
    first, warm, missing, bad = invoke(tmp_path, "--memory", str(megabytes), events=events)
    assert (first["status"], warm["status"]) == ("ok", "ok")
    assert (first["oom_kill"], warm["oom_kill"], warm["cold"]) == (0, 0, False)
    assert "does not exist" in str(missing["error"])
    assert "must be an object" in str(bad["error"])
    slide_run.check_done(tmp_path / "out")


def long(kind: str, folder: Path) -> tuple[Path, dict[str, object]]:
    """An input in `folder/in` that takes several invocations, and its settings."""
    (folder / "in").mkdir()
    if kind == "slide":
        return slide(folder / "in/slide.ome.tif", 9000), {}
    return volume(folder / "in/volume.ome.tif", 160, 1024), {"INITIAL_DOWNSAMPLE": 1}


def flags(settings: dict[str, object]) -> list[str]:
    return [word for name, value in settings.items() for word in (f"--{name.lower().replace('_', '-')}", str(value))]


@sandboxed_lambda
def test_from_bucket_to_bucket(slide_run: Reference, store, tmp_path: Path) -> None:
    """No folder but /tmp can be written to."""
    (tmp_path / "in").mkdir()
    store(slide_run.source, "in/slide.ome.tif")
    event = event_for(tmp_path, inputDir=f"{store.address}/in", outputDir=f"{store.address}/out", TILE_SIZE=128)
    code = f"import os, sys; os.environ |= {store.environ}; del os.environ['AWS_SESSION_TOKEN']; sys.argv = ['x', sys.argv[1]]"
    code += "; from awslambdaric.__main__ import main; main(sys.argv)"
    first, again = invoke_with(tmp_path, code, "--memory", "512", events=[event] * 2)
    assert (first["status"], again["status"], first["oom_kill"]) == ("ok", "ok", 0), first.get("error")
    found = store.objects("out/slide.ome.zarr/")
    assert {key for key in found | slide_run.expected if found.get(key) != slide_run.expected.get(key)} == {"zarr.json"}  # its key


@sandboxed_lambda
@pytest.mark.parametrize("kind", ["slide", "volume"])
def test_deadline_in_the_middle_and_the_next_invocation_finishes(tmp_path: Path, kind: str) -> None:
    source, settings = long(kind, tmp_path)
    lines = invoke(tmp_path, "--memory", "512", "--timeout", "12", events=[event_for(tmp_path, **settings)] * 12)
    status = [line["status"] for line in lines]
    assert set(status) == {"ok", "error"}
    assert status == sorted(status)  # errors until it is done
    assert "out of time at " in str(lines[0]["error"])
    run(source, "--output-dir", tmp_path / "undisturbed", "--quiet", *flags(settings))
    assert digest(tmp_path / "out") == digest(tmp_path / "undisturbed")


@sandboxed_lambda
@pytest.mark.parametrize("kind", ["slide", "volume"])
def test_killed_at_the_deadline_and_the_next_invocation_finishes(tmp_path: Path, kind: str) -> None:
    """The platform's SIGKILL, as when the reserve was not enough."""
    source, settings = long(kind, tmp_path)
    code = "import sys; sys.argv = ['x', sys.argv[1]]; import omezarr_proc.handler as h; h.deadline_of = lambda c: None"
    code += "; from awslambdaric.__main__ import main; main(sys.argv)"
    command = invoke_with(tmp_path, code, "--memory", "512", "--timeout", "7", events=[event_for(tmp_path, **settings)] * 15)
    assert "timeout" in [line["status"] for line in command]
    assert command[-1]["status"] == "ok"
    run(source, "--output-dir", tmp_path / "undisturbed", "--quiet", *flags(settings))
    assert digest(tmp_path / "out") == digest(tmp_path / "undisturbed")


@sandboxed_lambda
def test_an_out_of_memory_kill_in_between(tmp_path: Path) -> None:
    """A hog takes the memory while the conversion runs, so that the kernel kills one of the function's processes."""
    (tmp_path / "in").mkdir()
    source = slide(tmp_path / "in/slide.ome.tif", 4000)
    code = """
import sys, threading, subprocess, time
import omezarr_proc.handler as h
real = h.handler
def once(event, context, state=[]):
    if not state:
        state.append(1)
        hog = "import time; time.sleep(2.5); x = bytearray(700 << 20); x[::4096] = bytes(len(x[::4096])); time.sleep(1)"
        subprocess.Popen([sys.executable, "-c", hog])
    return real(event, context)
h.handler = once
from awslambdaric.__main__ import main
main(['x', sys.argv[1]])
"""
    settings: dict[str, object] = {"INITIAL_DOWNSAMPLE": 1, "COMPRESSION": "zlib", "COMPRESSION_LEVEL": 9}
    lines = invoke_with(tmp_path, code, "--memory", "512", events=[event_for(tmp_path, **settings)] * 3)
    assert sum(int(str(line["oom_kill"])) for line in lines) > 0
    assert lines[-1]["status"] == "ok"
    run(source, "--output-dir", tmp_path / "undisturbed", "--quiet", *flags(settings))
    assert digest(tmp_path / "out") == digest(tmp_path / "undisturbed")


def invoke_with(folder: Path, code: str, *options: str, events: list[object]) -> list[dict[str, object]]:
    """Like `invoke`, with a program of our own around the runtime."""
    (folder / "out").mkdir(exist_ok=True)
    (folder / "out").chmod(0o777)
    arguments = [argument for event in events for argument in ("--event", json.dumps(event))]
    binds = ["--bind", sys.prefix, "--bind", str(ROOT), "--bind", str(folder / "in"), "--bind", f"{folder / 'out'}::rw"]
    command = [str(LAMBDA), "--keep-going", *options, *binds, "--env", f"PYTHONPATH={ROOT}", *arguments, "--", sys.executable, "-c", code]
    done = subprocess.run([*command, "omezarr_proc.handler.handler"], capture_output=True, text=True)
    if done.returncode == 125:
        pytest.skip(f"no sandbox can be made here: {done.stderr.strip()[-300:]}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
