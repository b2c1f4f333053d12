"""Limits: every source in a fake tree, their combination, and the real thing in a cgroup where there is one to be made."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import hypothesis
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omezarr_proc.host.bounds import Bound, CpuBound
from omezarr_proc.host.limits import ASSUMED_MEMORY, MB, Limits, Machine, combine, read_limits, read_machine

MACHINE = Machine(total_bytes=64000 * MB, available_bytes=50000 * MB, own_bytes=30 * MB, cpus=16)
V1_UNLIMITED = "9223372036854771712"
SANDBOX = Path(__file__).parents[3] / "shared/tools/runtime/in_cgroup.sh"


class Tree:
    """A fake root with /proc and /sys/fs/cgroup."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("proc/self/cgroup", "")
        self.write("proc/self/mountinfo", "22 1 0:21 / /proc rw - proc proc rw\n")

    def write(self, path: str, text: str) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def own(self, *lines: str) -> None:
        self.write("proc/self/cgroup", "\n".join(lines) + "\n")

    def mount(self, point: str, kind: str, options: str = "rw", part: str = "/") -> None:
        path = self.root / "proc/self/mountinfo"
        path.write_text(path.read_text() + f"33 22 0:30 {part} {point} rw,nosuid shared:9 - {kind} {kind} {options}\n")

    def group(self, directory: str, **files: object) -> None:
        for name, content in files.items():
            self.write(f"{directory}/{name.replace('__', '.')}", f"{content}\n")

    def limits(self, machine: Machine = MACHINE, memory_limit_mb: int = 0, max_workers: int = 0, **environ: str) -> Limits:
        return read_limits(memory_limit_mb, max_workers, environ=environ, root=self.root, machine=machine)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_without_any_limit_the_machine_counts(tree: Tree):
    limits = tree.limits()
    assert (limits.memory_bytes, limits.headroom_bytes) == (64000 * MB, 50030 * MB)
    assert (limits.memory_source, limits.cpus, limits.cpu_source) == ("memory of the machine", 16, "CPU affinity")


def test_v2_own_group_with_working_set_and_quota(tree: Tree):
    tree.own("0::/")
    tree.mount("/sys/fs/cgroup", "cgroup2")
    tree.group(
        "sys/fs/cgroup",
        memory__max=512 * MB,
        memory__high="max",
        memory__current=300 * MB,
        memory__stat=f"anon 1\ninactive_file {200 * MB}",
        cpu__max="150000 100000",
    )
    limits = tree.limits()
    assert limits == Limits(
        memory_bytes=512 * MB,
        headroom_bytes=(512 - 100 + 30) * MB,
        memory_source="cgroup v2 memory.max",
        cpus=1.5,
        cpu_source="cgroup v2 cpu.max",
    )


@pytest.mark.parametrize(("mapped", "free"), [(10, 20 + 30 - 10 + 5), (40, 20 + 5)])
def test_v2_what_the_kernel_can_drop_is_free_but_what_is_mapped_is_not(tree: Tree, mapped: int, free: int):
    tree.own("0::/")
    tree.mount("/sys/fs/cgroup", "cgroup2")
    numbers = {"inactive_file": 20, "active_file": 30, "file_mapped": mapped, "slab_reclaimable": 5}
    stat = "\n".join(f"{name} {size * MB}" for name, size in numbers.items())
    tree.group("sys/fs/cgroup", memory__max=200 * MB, memory__current=140 * MB, memory__stat=stat)
    assert tree.limits().headroom_bytes == (200 - (140 - free) + 30) * MB


@pytest.mark.parametrize("prefix", ["", "total_"])
def test_v1_what_the_kernel_can_drop_is_free_but_what_is_mapped_is_not(tree: Tree, prefix: str):
    tree.own("4:memory:/")
    tree.mount("/sys/fs/cgroup/memory", "cgroup", "rw,memory")
    numbers = {"inactive_file": 20, "active_file": 30, "mapped_file": 10}
    stat = "\n".join(f"{prefix}{name} {size * MB}" for name, size in numbers.items())
    tree.group("sys/fs/cgroup/memory", memory__limit_in_bytes=200 * MB, memory__usage_in_bytes=140 * MB, memory__stat=stat)
    assert tree.limits().headroom_bytes == (200 - (140 - 40) + 30) * MB


def test_v2_high_counts_as_a_limit(tree: Tree):
    tree.own("0::/")
    tree.mount("/sys/fs/cgroup", "cgroup2")
    tree.group("sys/fs/cgroup", memory__max=512 * MB, memory__high=400 * MB, memory__current=0, cpu__max="max 100000")
    limits = tree.limits()
    assert (limits.memory_bytes, limits.memory_source, limits.cpus) == (400 * MB, "cgroup v2 memory.high", 16)


def test_v2_smallest_of_own_group_and_visible_ancestors_and_the_headroom_may_be_another_one_s(tree: Tree):
    tree.own("0::/slice/pod/container")
    tree.mount("/sys/fs/cgroup", "cgroup2")
    tree.group("sys/fs/cgroup/slice/pod/container", memory__max=600 * MB, memory__current=50 * MB, cpu__max="max 100000")
    tree.group("sys/fs/cgroup/slice/pod", memory__max=700 * MB, memory__current=650 * MB, cpu__max="50000 100000")
    tree.group("sys/fs/cgroup/slice", memory__max="max", memory__current=9000 * MB)
    limits = tree.limits()
    assert (limits.memory_bytes, limits.headroom_bytes, limits.cpus) == (600 * MB, (700 - 650 + 30) * MB, 0.5)


@pytest.mark.parametrize(
    ("own", "part"),
    [("/docker/abc", "/docker/abc"), ("/docker/abc", "/"), ("/", "/"), ("/../../other", "/"), ("/docker/abc/inner", "/docker/abc")],
    ids=["mounted part", "path that is not there", "namespace", "outside the namespace", "below the mounted part, not there"],
)
def test_v1_mount_point_is_the_own_group_where_the_path_is_not_below_it(tree: Tree, own: str, part: str):
    tree.own("5:cpu,cpuacct:" + own, "4:memory:" + own, "0::/")
    tree.mount("/sys/fs/cgroup/memory", "cgroup", "rw,memory", part)
    tree.mount("/sys/fs/cgroup/cpu,cpuacct", "cgroup", "rw,cpu,cpuacct", part)
    tree.group(
        "sys/fs/cgroup/memory",
        memory__limit_in_bytes=256 * MB,
        memory__usage_in_bytes=200 * MB,
        memory__stat=f"inactive_file 7\nhierarchical_memory_limit {256 * MB}\ntotal_inactive_file {120 * MB}",
    )
    tree.group("sys/fs/cgroup/cpu,cpuacct", cpu__cfs_quota_us=25000, cpu__cfs_period_us=100000)
    limits = tree.limits()
    assert limits == Limits(
        memory_bytes=256 * MB,
        headroom_bytes=(256 - 80 + 30) * MB,
        memory_source="cgroup v1 memory.limit_in_bytes",
        cpus=0.25,
        cpu_source="cgroup v1 cpu.cfs_quota_us",
    )


def test_v1_limit_on_a_hidden_ancestor(tree: Tree):
    tree.own("4:memory:/ecs/task/container")
    tree.mount("/sys/fs/cgroup/memory", "cgroup", "rw,memory", "/ecs/task/container")
    tree.group(
        "sys/fs/cgroup/memory",
        memory__limit_in_bytes=V1_UNLIMITED,
        memory__usage_in_bytes=10 * MB,
        memory__stat=f"hierarchical_memory_limit {512 * MB}",
    )
    limits = tree.limits()
    assert (limits.memory_bytes, limits.memory_source) == (512 * MB, "cgroup v1 memory.stat hierarchical_memory_limit")


def test_v1_without_limits(tree: Tree):
    tree.own("4:memory:/", "1:cpu:/")
    tree.mount("/sys/fs/cgroup/memory", "cgroup", "rw,memory")
    tree.mount("/sys/fs/cgroup/cpu", "cgroup", "rw,cpu")
    tree.group("sys/fs/cgroup/memory", memory__limit_in_bytes=V1_UNLIMITED, memory__stat=f"hierarchical_memory_limit {V1_UNLIMITED}")
    tree.group("sys/fs/cgroup/cpu", cpu__cfs_quota_us=-1, cpu__cfs_period_us=100000)
    assert tree.limits() == Limits(
        memory_bytes=64000 * MB, headroom_bytes=50030 * MB, memory_source="memory of the machine", cpus=16, cpu_source="CPU affinity"
    )


def test_files_without_a_mount(tree: Tree):
    tree.mount("/sys/fs/cgroup/memory.max", "cgroup", "rw,memory", "/somewhere/memory.limit_in_bytes")  # a single file, bound
    tree.group("sys/fs/cgroup", cgroup__controllers="cpu memory", memory__max=300 * MB, memory__current=MB, cpu__max="100000 100000")
    limits = tree.limits()
    assert (limits.memory_bytes, limits.cpus) == (300 * MB, 1)


def test_mount_points_with_blanks(tree: Tree):
    tree.own("0::/")
    tree.mount(r"/sys/my\040cgroup", "cgroup2")
    tree.group("sys/my cgroup", memory__max=300 * MB)
    assert tree.limits().memory_bytes == 300 * MB


@hypothesis.settings(deadline=None)
@given(st.text(), st.text(), st.text() | st.just("9" * 5000) | st.just("1 1"))
def test_garbage_in_any_file_says_nothing_and_never_fails(tmp_path_factory: pytest.TempPathFactory, own: str, mounts: str, number: str):
    tree = Tree(tmp_path_factory.mktemp("tree"))
    for path, text in (("proc/self/cgroup", own), ("proc/self/mountinfo", mounts), ("sys/fs/cgroup/cgroup.controllers", "")):
        (tree.root / path).parent.mkdir(parents=True, exist_ok=True)
        (tree.root / path).write_bytes(text.encode("utf-8", "surrogatepass"))
    for name in ("memory.max", "memory.current", "memory.stat", "cpu.max"):
        (tree.root / "sys/fs/cgroup" / name).write_bytes(f"{number}".encode("utf-8", "surrogatepass"))
    limits = tree.limits()
    assert 0 <= limits.headroom_bytes <= limits.memory_bytes <= MACHINE.total_bytes
    assert 0 < limits.cpus <= MACHINE.cpus


def test_lambda(tree: Tree):
    limits = tree.limits(AWS_LAMBDA_FUNCTION_MEMORY_SIZE="512")
    assert (limits.memory_bytes, limits.memory_source) == (512 * MB, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
    assert limits.cpus == pytest.approx(512 / 1769)


@pytest.mark.parametrize("variable", ["AWS_LAMBDA_RUNTIME_API", "ECS_CONTAINER_METADATA_URI"])
def test_hosted_without_any_source_a_small_memory_is_assumed_and_said(tree: Tree, variable: str):
    limits = tree.limits(**{variable: "x"})
    assert limits.memory_bytes == limits.headroom_bytes == ASSUMED_MEMORY
    assert "assumed" in limits.memory_source
    assert tree.limits(memory_limit_mb=2000, **{variable: "x"}).memory_bytes == ASSUMED_MEMORY
    assert tree.limits(memory_limit_mb=300, **{variable: "x"}).memory_bytes == 300 * MB


@pytest.mark.parametrize("size", ["", "0", "-5", "lots", "1.5", "9" * 5000])
def test_a_senseless_lambda_size_says_nothing(tree: Tree, size: str):
    assert tree.limits(AWS_LAMBDA_FUNCTION_MEMORY_SIZE=size).memory_bytes == ASSUMED_MEMORY


def test_settings_are_upper_bounds_only(tree: Tree):
    limits = tree.limits(memory_limit_mb=1000, max_workers=2)
    assert limits == Limits(
        memory_bytes=1000 * MB, headroom_bytes=1000 * MB, memory_source="MEMORY_LIMIT_MB", cpus=2, cpu_source="MAX_WORKERS"
    )
    assert tree.limits(memory_limit_mb=10**6, max_workers=99) == tree.limits()


Endpoint = tuple[str, dict[str, object]]


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """An ECS metadata endpoint on loopback whose answers (by path, JSON or raw bytes) the test sets."""
    answers: dict[str, object] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = answers.get(self.path)
            if answer == "hang":
                hold.wait(5)
            self.send_response(200 if answer is not None else 404)
            self.end_headers()
            self.wfile.write(answer if isinstance(answer, bytes) else json.dumps(answer).encode())

        def log_message(self, *arguments: object) -> None:
            pass

    hold = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v4/x", answers
    hold.set()
    server.shutdown()
    thread.join()
    server.server_close()


def test_ecs_task_limit(tree: Tree, endpoint: Endpoint):
    uri, answers = endpoint
    answers |= {"/v4/x": {"Limits": {"CPU": 2}}, "/v4/x/task": {"Limits": {"CPU": 0.5, "Memory": 1024}}}
    limits = tree.limits(ECS_CONTAINER_METADATA_URI_V4=uri)
    assert limits == Limits(
        memory_bytes=1024 * MB, headroom_bytes=1024 * MB, memory_source="ECS task limit", cpus=0.5, cpu_source="ECS task limit"
    )


def test_ecs_container_limit_is_the_smaller_one_and_proxies_are_not_asked(tree: Tree, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    uri, answers = endpoint
    answers |= {"/v4/x": {"Limits": {"CPU": 256, "Memory": 300}}, "/v4/x/task": {"Limits": {"CPU": 4, "Memory": 1024}}}
    limits = tree.limits(ECS_CONTAINER_METADATA_URI_V4=uri)
    assert (limits.memory_bytes, limits.memory_source, limits.cpus) == (300 * MB, "ECS container limit", 4)


@pytest.mark.parametrize(
    "answer", [None, b"no json", b"", [], {"Limits": None}, {"Limits": {"Memory": "many", "CPU": {}}}, {"Limits": {"Memory": 0}}, "hang"]
)
def test_ecs_endpoint_that_fails_is_no_error(tree: Tree, endpoint: Endpoint, answer: object):
    uri, answers = endpoint
    answers |= {"/v4/x": {"Limits": {"Memory": 400}}, "/v4/x/task": answer}
    assert tree.limits(ECS_CONTAINER_METADATA_URI_V4=uri).memory_bytes == 400 * MB


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9/v4", "file:///etc/passwd", "nonsense", ""])
def test_ecs_address_that_leads_nowhere_is_no_error(tree: Tree, uri: str):
    assert tree.limits(ECS_CONTAINER_METADATA_URI_V4=uri).memory_bytes == ASSUMED_MEMORY


bounds = st.builds(Bound, st.text(min_size=1), st.integers(MB, 10**13), st.integers(0, 10**13))
machines = st.builds(Machine, st.integers(MB, 10**13), st.integers(0, 10**13), st.integers(0, 10**9), st.integers(1, 256))


@given(st.lists(bounds), machines, st.booleans())
def test_the_smallest_limit_wins_and_headroom_stays_within_every_bound(memory: list[Bound], machine: Machine, hosted: bool):
    limits = combine(memory, [CpuBound("all", machine.cpus)], machine, hosted=hosted)
    assert all(limits.memory_bytes <= bound.limit for bound in memory)
    assert 0 <= limits.headroom_bytes <= limits.memory_bytes
    assert limits.headroom_bytes <= machine.available_bytes + machine.own_bytes
    for bound in memory:
        assert limits.headroom_bytes <= max(0, bound.limit - bound.used + machine.own_bytes)
    if not hosted:
        assert limits.memory_bytes <= machine.total_bytes


def test_the_machine_as_psutil_and_the_scheduler_see_it():
    machine = read_machine()
    assert machine.total_bytes == psutil.virtual_memory().total
    assert 0 < machine.available_bytes <= machine.total_bytes
    assert MB < machine.own_bytes < psutil.Process().memory_info().rss + MB
    if hasattr(os, "sched_getaffinity"):
        assert machine.cpus == len(os.sched_getaffinity(0))


@pytest.mark.root
@pytest.mark.shared
@pytest.mark.skipif(not SANDBOX.exists(), reason="needs the shared tools beside the repository")
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make a cgroup")
@pytest.mark.parametrize("view", ["host", "docker", "ancestor", "ns", "v2", "none"])
@pytest.mark.parametrize("ecs", [False, True])
def test_every_view_of_a_container_shows_the_right_limit(view: str, ecs: bool, tmp_path: Path):
    if view == "none" and not ecs:
        pytest.skip("nothing in such a container tells its limit")
    code = (
        "import dataclasses, json\nfrom omezarr_proc.host.limits import read_limits\nprint(json.dumps(dataclasses.asdict(read_limits())))"
    )
    options = ["512", "cpus=1", f"view={view}", "shm=none", f"json={tmp_path / 'report.json'}"] + (["ecs=0.5:512"] if ecs else [])
    run = subprocess.run(
        [SANDBOX, *options, "--", sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    if run.returncode == 125:
        pytest.skip(f"no cgroup can be made here: {run.stderr.strip()}")
    assert run.returncode == 0, run.stderr
    limits = json.loads(run.stdout)
    assert limits["memory_bytes"] == 512 * MB
    assert 480 * MB < limits["headroom_bytes"] <= 512 * MB
    assert limits["cpus"] == (0.5 if ecs else 1)
