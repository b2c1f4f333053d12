"""SIGKILL at any moment: of the program, of a worker, of the process that forks the workers, of everything at once."""

import contextlib
import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest
from runs import (
    DYING_COMMAND,
    EAGER_COMMAND,
    FLAGS,
    Program,
    Reference,
    digest,
    files_in,
    plate_run,
    run,
    sandbox,
    sandboxed,
    shards_run,
    slide,
    slide_run,
    stack_run,
    volume_run,
)

__all__ = ["plate_run", "shards_run", "slide_run", "stack_run", "volume_run"]  # fixtures

MANY = [pytest.param(("slide", "stack")[seed % 2], seed, marks=[] if seed < 2 else [pytest.mark.slow]) for seed in range(50)]
MANY += [pytest.param("shards", seed, marks=[] if seed == 0 else [pytest.mark.slow]) for seed in range(10)]
MANY += [pytest.param("plate", seed, marks=[] if seed == 0 else [pytest.mark.slow]) for seed in range(10)]
MANY += [pytest.param("volume", seed, marks=[] if seed == 0 else [pytest.mark.slow]) for seed in range(10)]


@pytest.fixture
def image(request: pytest.FixtureRequest) -> Reference:
    return request.getfixturevalue(f"{request.param}_run")


@pytest.mark.parametrize(("image", "seed"), MANY, indirect=["image"])
def test_the_program_killed_at_a_random_moment(image: Reference, tmp_path: Path, seed: int) -> None:
    moment = random.Random(seed).uniform(0.05, 0.95) * image.seconds
    with Program([image.source, "--output-dir", tmp_path, *image.flags], EAGER_COMMAND) as program:
        program.wait_for(lambda: time.monotonic() - program.begun > moment)
        program.process.kill()
        program.finish()
        assert program.left() == {}
    image.check_nothing_published(tmp_path)
    image.complete(tmp_path)


@pytest.mark.parametrize(("image", "seed"), MANY, indirect=["image"])
def test_a_worker_killed_at_a_random_moment(image: Reference, tmp_path: Path, seed: int) -> None:
    choice = random.Random(seed)
    files = choice.randrange(max(1, len(image.expected) - 10))
    with Program([image.source, "--output-dir", tmp_path, *image.flags]) as program:
        program.wait_for(lambda: files_in(tmp_path) > files and program.workers())
        if workers := program.workers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(choice.choice(workers), signal.SIGKILL)
        status, text = program.finish()
        assert program.left() == {}
    assert status == 0, text
    assert all("going on with a smaller plan" in line for line in text.splitlines())
    image.check_done(tmp_path)


def test_workers_killed_one_after_another_end_in_a_clear_error(slide_run: Reference, tmp_path: Path) -> None:
    with Program([slide_run.source, "--output-dir", tmp_path, *FLAGS, "--max-workers", "2"]) as program:
        for _ in range(100):
            if not program.wait_for(program.workers):
                break
            for pid in program.workers():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        status, text = program.finish()
        assert program.left() == {}
    last = text.splitlines()[-1]
    assert status == 71
    assert "slide.ome.tif: worker process" in last
    assert "was killed by SIGKILL (memory ran out, or somebody else killed it: give it more memory" in last
    assert "Traceback" not in text
    slide_run.check_nothing_published(tmp_path)
    slide_run.complete(tmp_path)


def test_the_process_that_forks_the_workers_killed(slide_run: Reference, tmp_path: Path) -> None:
    with Program([slide_run.source, "--output-dir", tmp_path, *FLAGS], EAGER_COMMAND) as program:
        assert program.wait_for(lambda: files_in(tmp_path) > 20)
        nursery, workers = program.nursery(), program.workers()
        assert nursery is not None
        os.kill(nursery, signal.SIGKILL)
        os.kill(workers[0], signal.SIGKILL)
        status, text = program.finish()
        assert program.left() == {}
    assert status == 0, text
    slide_run.check_done(tmp_path)


def test_everything_killed_at_once(stack_run: Reference, tmp_path: Path) -> None:
    with Program([stack_run.source, "--output-dir", tmp_path, *FLAGS], EAGER_COMMAND) as program:
        assert program.wait_for(lambda: files_in(tmp_path) > 10)
        for pid in [program.process.pid, *program.workers()]:
            with contextlib.suppress(ProcessLookupError):  # a worker that has noticed the main process's end already
                os.kill(pid, signal.SIGKILL)
        program.finish()
        assert program.left() == {}
    stack_run.check_nothing_published(tmp_path)
    stack_run.complete(tmp_path)


@pytest.mark.parametrize("image", ["stack", "volume"], indirect=True)
@pytest.mark.parametrize(("first", "second"), [(("1024", "2"), ("150", "1")), (("150", "1"), ("1024", "2"))], ids=["less", "more"])
def test_finished_with_another_plan(image: Reference, tmp_path: Path, first: tuple[str, str], second: tuple[str, str]) -> None:
    flags = ("--memory-limit-mb", first[0], "--max-workers", first[1])
    with Program([image.source, "--output-dir", tmp_path, *FLAGS, *flags], DYING_COMMAND) as program:
        status, text = program.finish()
        assert status == -signal.SIGKILL, text
        assert program.left() == {}
    assert not (tmp_path / f"{image.source.name.partition('.')[0]}.ome.zarr").exists()
    status, text = run(image.source, "--output-dir", tmp_path, *FLAGS[:2], "--memory-limit-mb", second[0], "--max-workers", second[1])
    assert status == 0
    assert "goes on with what an earlier run has finished" in text
    image.check_done(tmp_path)


def test_a_finished_dataset_is_replaced_whole_or_not_at_all(slide_run: Reference, tmp_path: Path) -> None:
    """The old one stays readable until the new one takes its place."""
    old = run(slide_run.source, "--output-dir", tmp_path, "--tile-size", "512")
    assert old[0] == 0
    before = (tmp_path / "slide.ome.zarr/zarr.json").read_bytes()
    with Program([slide_run.source, "--output-dir", tmp_path, *FLAGS], EAGER_COMMAND) as program:
        assert program.wait_for(lambda: files_in(tmp_path / ".slide.ome.zarr.partial") > 30)
        program.process.kill()
        program.finish()
    assert (tmp_path / "slide.ome.zarr/zarr.json").read_bytes() == before
    slide_run.complete(tmp_path)


@pytest.mark.slow
@sandboxed
@pytest.mark.parametrize(("first", "second"), [((1024, 2), (256, 1)), ((256, 1), (1024, 2))], ids=["less", "more"])
def test_killed_in_one_container_and_finished_in_another(
    tmp_path: Path, stack_run: Reference, first: tuple[int, int], second: tuple[int, int]
) -> None:
    flags = [stack_run.source, "--output-dir", tmp_path / "out", *FLAGS, "--max-workers"]
    status, text, _ = sandbox([str(first[0]), "shm=none"], [*DYING_COMMAND, *flags, str(first[1])], tmp_path / "report.json")
    assert status == 128 + signal.SIGKILL, text
    stack_run.check_nothing_published(tmp_path / "out")
    command = [sys.executable, "-m", "omezarr_proc", *flags, str(second[1])]
    status, text, report = sandbox([str(second[0]), "shm=none"], command, tmp_path / "report.json")
    assert (status, report["oom_kill"], report["left_processes"]) == (0, 0, []), text
    stack_run.check_done(tmp_path / "out")


@pytest.mark.slow
@sandboxed
def test_a_container_that_is_killed_again_and_again_gets_there_or_says_why(tmp_path: Path) -> None:
    """The platform repeats a killed task with the same limit; each attempt here dies after a while, as by an OOM kill of all of it."""
    source = slide(tmp_path / "slide.ome.tif", 3000)
    flags = ["--initial-downsample", "1", "--compression", "zlib", "--compression-level", "9"]
    command = [sys.executable, "-m", "omezarr_proc", source, "--output-dir", tmp_path / "out", *flags]
    for _ in range(3):
        _, text, report = sandbox(["512", "shm=64m", "timeout=1.5"], command, tmp_path / "report.json")
        assert report["timed_out"], text
    status, text, report = sandbox(["512", "shm=64m"], command, tmp_path / "report.json")
    assert (status, report["oom_kill"], report["left_processes"], report["left_shm"]) == (0, 0, [], []), text
    run(source, "--output-dir", tmp_path / "undisturbed", *flags)
    assert digest(tmp_path / "out") == digest(tmp_path / "undisturbed")
