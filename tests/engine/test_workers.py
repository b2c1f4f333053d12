"""The nursery and the pool: deaths are noticed and said, replacements work, nobody is left, nothing is inherited, little is needed."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import tifffile
from loguru import logger
from pyramids import pyramid
from runs import ROOT, Program, sandbox, sandboxed, slide

from omezarr_proc.engine.local import nursery, process
from omezarr_proc.engine.local.nursery import Nursery, NurseryError, NurseryGoneError
from omezarr_proc.engine.local.pool import Pool
from omezarr_proc.engine.local.process import Worker, WorkerDiedError, WorkerStuckError
from omezarr_proc.engine.local.watch import Watch
from omezarr_proc.model.errors import OutOfTimeError
from omezarr_proc.model.region import Region
from omezarr_proc.plan.passes import Pass
from omezarr_proc.store.checksums import stored_bytes
from omezarr_proc.store.chunks import ChunkStore
from omezarr_proc.store.codec import codec_for
from omezarr_proc.store.folder import Folder
from omezarr_proc.tiff.describe.images import open_images
from omezarr_proc.work.replies import Made, Stored
from omezarr_proc.work.tasks import Job, Load, Make


@pytest.fixture(autouse=True)
def no_fork_of_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever threads there are, the nursery is started by exec; runs of the program itself fork it."""
    monkeypatch.setattr(nursery, "_single_threaded", lambda: False)


@pytest.fixture
def pool() -> Iterator[Pool]:
    pool = Pool(Nursery())
    yield pool
    pool.close()


@pytest.fixture
def job(tmp_path: Path) -> tuple[Job, Pass, Region]:
    """A small image, the pass that makes all its levels and its only band."""
    tifffile.imwrite(tmp_path / "a.tif", np.arange(200 * 300, dtype=np.uint16).reshape(200, 300), tile=(64, 64))
    (tmp_path / "staging").mkdir()
    image = open_images(str(tmp_path / "a.tif"))[0]
    store = ChunkStore(Folder(str(tmp_path / "staging")), pyramid(image, least=64, names="cyx"), codec_for(image.stored_dtype, "zstd", 1))
    pass_ = Pass(None, (1, 1, 1, 1, 1), 0, 0, (1, 1, 1, 64 * 8, 64 * 8))
    return Job(image, store, "mean", ("segment",)), pass_, Region((0, 0, 0, 0, 0), (1, 1, 1, 200, 300))


def begin(pool: Pool, job: tuple[Job, Pass, Region], workers: int = 1) -> Make:
    pool.arena.resize(4 << 20)
    pool.resize(workers)
    pool.begin(job[0])
    return Make(job[1], 0, (job[2],))


def answers(pool: Pool, count: int) -> list[object]:
    found: list[object] = []
    while len(found) < count:
        found += [reply for _, reply in pool.wait()]
    return found


def gone(pid: int) -> bool:
    """Whether a process is no more, not even as a zombie."""
    return not Path(f"/proc/{pid}").exists()


def ended(pid: int) -> bool:
    """Whether a process has ended, be it that nobody has reaped it yet."""
    return gone(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def soon(ready: Callable[[], object], seconds: float = 1.0) -> bool:
    deadline = time.monotonic() + seconds
    while not ready() and time.monotonic() < deadline:
        time.sleep(0.005)
    return bool(ready())


def test_a_task_is_answered_when_it_is_encoded_and_when_it_is_stored(pool: Pool, job, tmp_path: Path) -> None:
    pool.submit(*first(pool, begin(pool, job)))
    written, stored = answers(pool, 2)
    assert isinstance(written, Made)
    assert isinstance(stored, Stored)
    assert sum(path.stat().st_size for path in (tmp_path / "staging").rglob("*") if path.is_file()) == sum(
        stored_bytes(level.checksums) for level in written.bands[0]
    )


def first(pool: Pool, task: Make | Load) -> tuple[Worker, Make | Load]:
    return pool.workers[0], task


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGBUS])
def test_death_is_noticed_within_a_second_with_its_signal(pool: Pool, number: signal.Signals) -> None:
    pool.resize(2)
    pid = pool.workers[1].pid
    os.kill(pid, number)
    begun = time.monotonic()
    with pytest.raises(WorkerDiedError, match=f"worker process {pid} was killed by {number.name}") as died:
        pool.wait()
    assert time.monotonic() - begun < 1
    assert (died.value.pid, died.value.status) == (pid, -number)
    assert [worker.pid for worker in pool.workers] != [pid]
    assert len(pool.workers) == 1


def test_a_worker_that_dies_idle_is_noticed_and_its_replacement_knows_the_job(pool: Pool, job) -> None:
    task = begin(pool, job, 2)
    dead = pool.workers[0]
    os.kill(dead.pid, signal.SIGKILL)
    assert soon(lambda: psutil.Process(dead.pid).status() == psutil.STATUS_ZOMBIE)
    pool.submit(dead, task)  # is no error: the death shows below
    with pytest.raises(WorkerDiedError):
        answers(pool, 2)
    pool.resize(2)
    assert gone(dead.pid)  # reaped
    pool.submit(pool.workers[1], task)
    assert isinstance(answers(pool, 2)[0], Made)


def test_only_who_is_given_a_task_is_told_of_the_job(pool: Pool, job) -> None:
    task = begin(pool, job, 2)
    assert [worker.briefed for worker in pool.workers] == [False, False]
    pool.submit(pool.workers[1], task)
    answers(pool, 2)
    assert [worker.briefed for worker in pool.workers] == [False, True]
    pool.begin(job[0])
    assert [worker.briefed for worker in pool.workers] == [False, False]
    pool.submit(pool.workers[0], task)
    assert isinstance(answers(pool, 2)[0], Made)


def test_death_in_the_middle_of_an_answer_is_a_death(pool: Pool) -> None:
    """Part of a message has come when the worker is killed."""
    pool.resize(1)
    worker = pool.workers[0]
    pid = worker.pid
    worker.connection.close()
    assert soon(lambda: psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    ours, theirs = __import__("multiprocessing").Pipe()
    worker.connection = ours
    os.write(theirs.fileno(), b"\0\0\0\x64half")
    theirs.close()
    with pytest.raises(WorkerDiedError):
        pool.wait()


def test_resizing_over_dead_workers(pool: Pool, job) -> None:
    task = begin(pool, job, 3)
    for worker in pool.workers:
        os.kill(worker.pid, signal.SIGKILL)
    pool.resize(0)
    pool.resize(1)
    pool.submit(*first(pool, task))
    assert isinstance(answers(pool, 1)[0], Made)


def test_close_leaves_no_process_no_zombie_and_no_descriptor(job) -> None:
    Pool(Nursery()).close()
    before, others = os.listdir("/proc/self/fd"), psutil.Process().children()  # a server of other tests
    pool = Pool(Nursery())
    task = begin(pool, job, 3)
    pids = pool.pids()
    pool.submit(*first(pool, task))
    pool.close()
    assert [pid for pid in pids if not gone(pid)] == []
    assert psutil.Process().children() == others
    assert os.listdir("/proc/self/fd") == before


def test_a_worker_that_does_not_react_is_ended_by_force_within_a_second() -> None:
    pool = Pool(Nursery())
    pool.resize(3)
    pids = pool.pids()
    for worker in pool.workers:
        os.kill(worker.pid, signal.SIGSTOP)
    begun = time.monotonic()
    pool.resize(0)
    assert time.monotonic() - begun < 1.3
    pool.close()
    assert soon(lambda: all(map(gone, pids)))


def test_close_takes_about_a_second_when_all_are_stopped() -> None:
    pool = Pool(Nursery())
    pool.resize(2)
    pids = pool.pids()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    begun = time.monotonic()
    pool.close()
    assert time.monotonic() - begun < 1.6
    assert soon(lambda: all(map(ended, pids)))


def test_the_nursery_killed_is_replaced(pool: Pool, job) -> None:
    task = begin(pool, job, 1)
    os.kill(pool.pids()[0], signal.SIGKILL)
    pool.submit(*first(pool, task))
    assert isinstance(answers(pool, 2)[0], Made)  # its worker goes on
    pool.resize(2)
    assert len(pool.workers) == 2
    pool.submit(pool.workers[1], task)
    assert isinstance(answers(pool, 2)[0], Made)


def test_a_nursery_that_does_not_answer_is_replaced() -> None:
    first = Nursery()
    pool = Pool(first)
    try:
        pool.resize(1)
        first.patience = 0.05
        os.kill(first.pid, signal.SIGSTOP)
        pool.resize(2)
        assert len(pool.workers) == 2
        assert pool.pids()[0] != first.pid
        assert soon(lambda: ended(first.pid))
    finally:
        pool.close()


def test_a_late_answer_of_the_nursery_is_taken_for_no_other_one_s(pool: Pool) -> None:
    """Else the number that it says of one worker's end would be another worker's process id, which is killed in the end."""
    pool.resize(1)
    slow = Nursery()
    pid, connection = slow.fork(pool.arena.fd)
    connection.close()
    slow.patience = 0.05
    os.kill(slow.pid, signal.SIGSTOP)
    assert slow.status(pid) == -signal.SIGKILL
    os.kill(slow.pid, signal.SIGCONT)  # answers now, to nobody
    slow.patience = 60.0
    with pytest.raises(NurseryGoneError):
        slow.fork(pool.arena.fd)
    slow.close()
    assert gone(pid)


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """What goes to the log."""
    lines: list[str] = []
    sink = logger.add(lines.append, format="{level} {message}")
    yield lines
    logger.remove(sink)


def test_a_stopped_worker_is_told_of_then_given_up_and_another_one_does_its_task(job, logged: list[str]) -> None:
    pool = Pool(Nursery(), watch=Watch(0.3, notice_seconds=0.1))
    try:
        task = begin(pool, job)
        pid = pool.workers[0].pid
        os.kill(pid, signal.SIGSTOP)
        pool.submit(*first(pool, task))
        words = rf"worker process {pid} has not moved for \d\.\d s \(stopped by a signal\), reading and storing rows 0 to 199 of level 0"
        with pytest.raises(WorkerStuckError, match=words + r" \(STALL_SECONDS=0\.3\)"):
            answers(pool, 2)
        assert re.search(rf"WARNING .*a\.tif: {words}; after 0\.3 s it is replaced", "".join(logged))
        memory = os.fstat(pool.arena.fd)
        pool.resize(0)
        assert soon(lambda: ended(pid))
        assert os.path.samestat(memory, os.fstat(pool.arena.fd))  # it could be killed
        pool.resize(1)
        pool.submit(*first(pool, task))
        assert isinstance(answers(pool, 1)[0], Made)
    finally:
        pool.close()


def test_the_memory_of_a_worker_that_cannot_be_killed_is_nobody_else_s(pool: Pool, job, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its system call may still write there when storage answers, whoever's slot that is by then."""
    task = begin(pool, job, 2)
    stuck, old = pool.workers[1].pid, os.dup(pool.arena.fd)
    states = process.thread_states
    monkeypatch.setattr(process, "thread_states", lambda pid: "D" if pid == stuck else states(pid))
    pool.resize(1)
    monkeypatch.undo()
    assert os.fstat(old).st_size == 0
    assert os.fstat(pool.arena.fd).st_size == pool.arena.size == 4 << 20
    assert not os.path.sameopenfile(old, pool.arena.fd)
    os.close(old)
    pool.submit(*first(pool, task))
    assert isinstance(answers(pool, 1)[0], Made)


def test_the_deadline_ends_the_waiting(job) -> None:
    pool = Pool(Nursery(), time.monotonic() + 1.0)
    try:
        task = begin(pool, job)
        os.kill(pool.workers[0].pid, signal.SIGSTOP)
        pool.submit(*first(pool, task))
        with pytest.raises(OutOfTimeError):
            answers(pool, 1)
        begun = time.monotonic()
        with pytest.raises(OutOfTimeError):
            pool.wait()
        assert time.monotonic() - begun < 0.1
    finally:
        pool.close()


def test_what_a_worker_inherits_and_what_it_is(pool: Pool, tmp_path: Path) -> None:
    with (tmp_path / "held").open("w") as held:
        os.set_inheritable(held.fileno(), True)
        pool.resize(2)
        for worker in pool.workers:
            here = Path(f"/proc/{worker.pid}")
            assert soon(lambda here=here: (here / "oom_score_adj").read_text() == "1000\n")
            files = {os.readlink(link) for link in (here / "fd").iterdir() if int(link.name) > 2}
            assert {name for name in files if name.startswith("/") and not name.startswith("/dev/")} <= {"/memfd:omezarr_proc (deleted)"}
            assert len([name for name in files if name.startswith("socket:")]) == 1
            assert "/dev/shm" not in (here / "maps").read_text()
            ignored = int(next(line.split()[1] for line in (here / "status").read_text().splitlines() if line.startswith("SigIgn")), 16)
            assert ignored & 1 << signal.SIGINT - 1
            os.kill(worker.pid, signal.SIGINT)
        time.sleep(0.1)
        assert all(not gone(worker.pid) for worker in pool.workers)
        parent = psutil.Process(pool.pids()[0])
        assert parent.num_threads() == 1
        assert str(tmp_path / "held") not in {file.path for file in parent.open_files()}
        assert os.getpgid(parent.pid) != os.getpgid(0)


def test_tokens_do_not_reach_the_nursery(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSION_TOKEN", "s3cret")
    pool = Pool(Nursery())
    try:
        pool.resize(1)
        for pid in pool.pids():
            assert b"s3cret" not in Path(f"/proc/{pid}/environ").read_bytes()
    finally:
        pool.close()


def test_started_by_a_caller_with_many_threads_without_warnings(job) -> None:
    hold = threading.Event()
    threads = [threading.Thread(target=hold.wait) for _ in range(20)]
    for thread in threads:
        thread.start()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pool = Pool(Nursery())
        try:
            pool.submit(*first(pool, begin(pool, job, 2)))
            assert isinstance(answers(pool, 2)[0], Made)
        finally:
            pool.close()
            hold.set()


BUSY = """
import sys, time, os
from omezarr_proc.engine.local.nursery import Nursery
from omezarr_proc.engine.local.pool import Pool
pool = Pool(Nursery())
pool.resize(2)
print(*pool.pids(), flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("nursery_too", [False, True])
def test_workers_die_with_the_main_process_while_they_are_busy(nursery_too: bool, tmp_path: Path) -> None:
    source = slide(tmp_path / "slide.ome.tif", 2000)
    flags = ("--max-workers", "2", "--quiet", "--initial-downsample", "1", "--compression", "zlib", "--compression-level", "9")
    with Program([source, "--output-dir", tmp_path / "out", *flags]) as program:
        assert program.wait_for(lambda: len(program.workers()) == 2)
        workers, nursery = program.workers(), program.nursery()
        assert nursery is not None
        assert program.wait_for(lambda: all(psutil.Process(pid).cpu_times().user > 0.05 for pid in workers))
        if nursery_too:
            os.kill(nursery, signal.SIGKILL)
        program.process.kill()
        program.finish()
        assert program.left(1.0) == {}


def test_the_main_process_killed_while_all_are_idle() -> None:
    with Program([], [sys.executable, "-c", BUSY]) as program:
        assert program.process.stdout is not None
        assert len(program.process.stdout.readline().split()) == 3
        program.process.kill()
        program.finish()
        assert program.left(1.0) == {}


def test_nothing_needs_semaphores_or_shared_memory_segments() -> None:
    """AWS Lambda has neither: not even an import of them anywhere in a conversion."""
    code = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name in ("multiprocessing.synchronize", "multiprocessing.shared_memory", "_posixshmem", "multiprocessing.pool"):
            raise AssertionError(name + " is imported")
sys.meta_path.insert(0, Refuse())
from omezarr_proc.cli import main
sys.exit(main(sys.argv[1:]))
"""
    with tempfile.TemporaryDirectory() as folder:
        tifffile.imwrite(f"{folder}/a.tif", np.zeros((600, 600), np.uint8))
        with Program([f"{folder}/a.tif", "--output-dir", f"{folder}/out", "--quiet"], [sys.executable, "-c", code]) as program:
            assert program.finish() == (0, "")
            assert program.left() == {}


def test_what_only_workers_need_is_not_imported_by_the_main_process(tmp_path: Path) -> None:
    code = """
import gc, sys
from omezarr_proc.cli import main
status = main(sys.argv[1:])
print(status, gc.isenabled(), sorted({"omezarr_proc.work.bench", "omezarr_proc.tiff.read.reader", "isal"} & set(sys.modules)))
"""
    # of grey integers some windows are read before work, to see whether they are labels
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((600, 600, 3), np.uint8), photometric="rgb")
    command = [sys.executable, "-c", code, tmp_path / "a.tif", "--output-dir", tmp_path / "out", "--quiet"]
    environ = os.environ | {"OPENBLAS_NUM_THREADS": "1"}  # so that it can be forked
    assert subprocess.run(command, capture_output=True, text=True, env=environ, check=True).stdout == "0 True []\n"


LIMITED = """
import os, resource, sys
allowed = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NPROC, (allowed, allowed))
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
os.environ.pop("HOME", None)
os.execv(sys.executable, [sys.executable, "-m", "omezarr_proc", *sys.argv[2:]])
"""


@sandboxed
@pytest.mark.parametrize("allowed", [n if n == 5 else pytest.param(n, marks=pytest.mark.slow) for n in (1, 2, 3, 4, 5, 6, 8, 12, 20, 40)])
def test_few_processes_are_fewer_workers_or_a_clear_error(tmp_path: Path, allowed: int) -> None:
    """As a user without an entry in passwd, with 64 descriptors, a read-only root file system and no home."""
    shared = Path(tempfile.mkdtemp())  # pytest's own folder is closed to other users
    shared.chmod(0o777)
    try:
        tifffile.imwrite(shared / "a.tif", np.arange(2000 * 2000, dtype=np.uint16).reshape(2000, 2000), tile=(256, 256))
        arguments = ["--output-dir", str(shared / "out"), "--max-workers", "8", "--quiet"]
        options = ["0", "uid=54321", "ro=1", "tmp=64m", f"bind={ROOT}", f"bind={shared}:{shared}:rw", "shm=none", "timeout=60"]
        options.append(f"bind={sys.prefix}")
        command = [sys.executable, "-c", LIMITED, str(allowed), str(shared / "a.tif"), *arguments]
        status, text, report = sandbox(options, command, tmp_path / "report.json")
        print(allowed, status, text)
        assert (report["timed_out"], report["left_processes"]) == (False, [])
        assert "Traceback" not in text
        assert "unexpected" not in text
        assert status == 0 or (status == 71 and text.count("\n") <= 6 and allowed < 20)
        assert (shared / "out/a.ome.zarr").exists() == (status == 0)
    finally:
        shutil.rmtree(shared)


@pytest.fixture
def pids_group() -> Iterator[Path]:
    """A control group with a pids limit to set."""
    base = next((path for path in (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup")) if (path / "cgroup.procs").exists()), None)
    group = (base or Path("/nowhere")) / f"omezarr_proc-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        if not (group / "pids.max").exists():
            pytest.skip("no pids controller here")
        yield group
    finally:
        assert soon(lambda: not (group / "cgroup.procs").read_text())
        group.rmdir()


@pytest.mark.root
@pytest.mark.parametrize(("allowed", "status"), [(4, 71), (8, 0), (10, 0)])
def test_a_pids_limit_suffices_for_all_of_a_run_or_ends_it_before_the_work(
    pids_group: Path, tmp_path: Path, allowed: int, status: int
) -> None:
    (pids_group / "pids.max").write_text(str(allowed))
    tifffile.imwrite(tmp_path / "a.tif", np.arange(1000 * 1000, dtype=np.uint16).reshape(1000, 1000), tile=(256, 256))
    enter = "import os, sys; open(sys.argv[1], 'w').write('0'); os.execv(sys.executable, sys.argv[2:])"
    command = [sys.executable, "-c", enter, pids_group / "cgroup.procs", sys.executable, "-m", "omezarr_proc"]
    with Program([tmp_path / "a.tif", "--output-dir", tmp_path, "--max-workers", "4", "--quiet"], command) as program:
        assert program.finish()[0] == status
    assert (tmp_path / "a.ome.zarr").exists() == (status == 0)
    assert len({path.name for path in tmp_path.rglob("c")}) == (status == 0)


def test_nursery_that_cannot_start_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **more: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "posix_spawn", refuse)
    with pytest.raises(NurseryError, match="cannot start a process: Resource temporarily unavailable"):
        Nursery()


HOLDING = """
import os, socket, sys, threading
hold, (_, _) = open(sys.argv[1], "w"), socket.socketpair()
os.set_inheritable(hold.fileno(), True)
if sys.argv[2] == "threads":
    threading.Thread(target=threading.Event().wait, daemon=True).start()
from omezarr_proc.engine.local.nursery import Nursery
from omezarr_proc.engine.local.pool import Pool
pool = Pool(Nursery())
pool.resize(1)
print(*pool.pids(), flush=True)
sys.stdin.readline()
pool.close()
os._exit(0)
"""


@pytest.mark.parametrize("blas", ["1", "2"])
@pytest.mark.parametrize("threads", ["threads", "none"])
def test_forked_where_there_is_one_thread_and_nothing_is_inherited_either_way(tmp_path: Path, threads: str, blas: str) -> None:
    command = [sys.executable, "-c", HOLDING, str(tmp_path / "held"), threads]
    environ = os.environ | {"OPENBLAS_NUM_THREADS": blas}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ, cwd=ROOT) as program:
        assert program.stdout is not None
        pids = [int(word) for word in program.stdout.readline().split()]
        forked = Path(f"/proc/{pids[0]}/cmdline").read_bytes() == Path(f"/proc/{program.pid}/cmdline").read_bytes()
        assert forked == (threads == "none" and (blas == "1" or len(os.sched_getaffinity(0)) == 1))
        assert os.readlink(f"/proc/{pids[0]}/fd/0") == os.devnull
        assert soon(lambda: Path(f"/proc/{pids[1]}/oom_score_adj").read_text() == "1000\n")
        time.sleep(0.1)
        for pid in pids:
            assert os.getpgid(pid) == pids[0]
            files = {os.readlink(link).partition(":")[0] for link in Path(f"/proc/{pid}/fd").iterdir() if int(link.name) > 2}
            assert files == ({"socket"} if pid == pids[0] else {"socket", "/memfd"})
            assert len([link for link in Path(f"/proc/{pid}/fd").iterdir() if os.readlink(link).startswith("socket:")]) == 1
        assert psutil.Process(pids[0]).num_threads() == 1
        program.communicate("\n", timeout=10)
    assert all(gone(pid) for pid in pids)


def test_a_fork_that_fails_is_an_error_for_the_first_worker_and_a_warning_for_others(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    real, forks = Nursery.fork, []

    def fork(self: Nursery, memory: int):
        forks.append(1)
        if len(forks) > 2:
            raise NurseryError("cannot start a worker process: Cannot allocate memory")
        return real(self, memory)

    monkeypatch.setattr(Nursery, "fork", fork)
    pool.resize(5)
    assert len(pool.workers) == 2
    pool.resize(0)
    with pytest.raises(NurseryError, match="Cannot allocate memory"):
        pool.resize(1)
