"""Lock: one run per dataset, in both forms, dead with its owner, safe against removal races."""

import errno
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from omezarr_proc.model.errors import OutputError
from omezarr_proc.publish import lock as module
from omezarr_proc.publish.hidden import lock_path, owner_path, record_path
from omezarr_proc.publish.lock import Lock, LockedError
from omezarr_proc.publish.tree import ByRename

NO_FLOCK = """
import errno, fcntl
def flock(fd, how):
    raise OSError(errno.ENOLCK, "no locks")
fcntl.flock = flock
"""

HOLD = """
import sys, time
from pathlib import Path
from omezarr_proc.publish.lock import Lock
with Lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""

# Each adds one to a number in a file, ten times; a lost count shows two at a time.
COUNT = """
import sys, time
from pathlib import Path
from omezarr_proc.publish.lock import Lock
number = Path(sys.argv[1]).with_name("number")
for _ in range(10):
    with Lock(Path(sys.argv[1]), patience=50):
        count = int(number.read_text())
        time.sleep(0.002)
        number.write_text(str(count + 1))
"""


@pytest.fixture(params=["flock", "owner"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if request.param == "owner":

        def flock(fd: int, how: int) -> None:
            raise OSError(errno.ENOLCK, "no locks")

        monkeypatch.setattr(fcntl, "flock", flock)
    yield request.param


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "sub" / "a.ome.zarr"


def start(form: str, script: str, target: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    code = (NO_FLOCK if form == "owner" else "") + script
    return subprocess.Popen([sys.executable, "-c", code, str(target)], env=environment, stdout=subprocess.PIPE, text=True)


def test_second_run_is_refused_until_the_first_is_done(target: Path, form: str) -> None:
    descriptors = len(os.listdir("/proc/self/fd"))
    with Lock(target) as held:
        held.check()
        assert os.listdir(target.parent) == [(lock_path if form == "flock" else owner_path)(target).name]
        with pytest.raises(OutputError) as caught, Lock(target, patience=0.2):
            pass
        message = str(caught.value)
        assert "\n" not in message
        assert re.search(
            rf"a\.ome\.zarr: another run \(process {os.getpid()} on \S+ since 20..-..-.. ..:..:..\) works on this dataset: wait", message
        )
        with Lock(target.with_name("b.ome.zarr")):
            pass
    with Lock(target):
        pass
    assert os.listdir(target.parent) == []
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_lock_is_released_by_an_error(target: Path, form: str) -> None:
    with pytest.raises(ZeroDivisionError), Lock(target):
        _ = 1 / 0
    assert os.listdir(target.parent) == []


def test_waits_for_a_run_that_holds_it_for_a_moment(target: Path, form: str) -> None:
    with Lock(target) as first:
        timer = threading.Timer(0.2, first.__exit__, (None, None, None))
        timer.start()
        with Lock(target, patience=20):
            pass
        timer.join()
    assert os.listdir(target.parent) == []


def test_dies_with_its_owner_though_its_children_live(target: Path, form: str) -> None:
    script = HOLD.replace('print("held"', 'import subprocess; subprocess.Popen(["sleep", "5"], stdout=subprocess.DEVNULL); print("held"')
    with start(form, script, target) as owner:
        assert owner.stdout is not None and owner.stdout.readline() == "held\n"
        with pytest.raises(OutputError, match=f"process {owner.pid} "), Lock(target, patience=0):
            pass
        owner.kill()
        owner.wait()
        assert os.listdir(target.parent) != []
        with Lock(target, patience=0):
            pass
    assert os.listdir(target.parent) == []


def test_ended_by_sigterm_leaves_a_lock_that_is_taken(target: Path, form: str) -> None:
    with start(form, HOLD, target) as owner:
        assert owner.stdout is not None and owner.stdout.readline() == "held\n"
        owner.send_signal(signal.SIGTERM)
        owner.wait()
        with Lock(target, patience=0) as mine:
            mine.check()


def test_never_two_at_a_time(target: Path, form: str) -> None:
    target.parent.mkdir()
    (target.with_name("number")).write_text("0")
    runs = [start(form, COUNT, target) for _ in range(4)]
    for run in runs:
        with run:
            assert run.wait(60) == 0
    assert target.with_name("number").read_text() == "40"
    assert os.listdir(target.parent) == ["number"]


def test_removed_lock_file_is_not_held_by_who_opened_it_before(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another releases, and removes the file, between our open and our flock."""
    flock, calls = fcntl.flock, []

    def late(fd: int, how: int) -> None:
        if not calls:
            lock_path(target).unlink()
        calls.append(fd)
        flock(fd, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with Lock(target):
        assert len(calls) == 2
        with pytest.raises(OutputError, match="another run"), Lock(target, patience=0):
            pass


@pytest.mark.parametrize("form", ["owner"], indirect=True)
@pytest.mark.usefixtures("form")
class TestOwner:
    """What only the form without locks has to see to."""

    def elsewhere(self, target: Path, age: float) -> None:
        target.parent.mkdir(exist_ok=True)
        owner_path(target).write_bytes(b'{"pid": 1, "host": "elsewhere", "since": 1700000000, "system": "other", "token": "1"}\n')
        os.utime(owner_path(target), (time.time() - age,) * 2)

    def test_owner_on_another_machine_is_believed_while_it_is_touched(self, target: Path) -> None:
        self.elsewhere(target, module.STALE / 2)
        with pytest.raises(OutputError, match="process 1 on elsewhere since"), Lock(target, patience=0):
            pass

    def test_silent_owner_is_replaced_and_sees_it(self, target: Path) -> None:
        with Lock(target, heartbeat=0.1) as first:
            self.elsewhere(target, module.STALE * 2)
            with Lock(target, heartbeat=0.1, settle=0.1) as second:
                second.check()
                with pytest.raises(OutputError, match="took over this dataset"):
                    first.check()
        assert os.listdir(target.parent) == []

    def test_who_has_lost_it_while_it_stood_still_notes_nothing_in_the_record_of_the_other(
        self, target: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with Lock(target, heartbeat=60) as first:
            tree = ByRename(target, "key", first)
            tree.begin({})
            os.utime(owner_path(target), (0, 0))
            with Lock(target, heartbeat=0.05, settle=0.1) as second:
                other = ByRename(target, "another key", second)
                other.begin({})
                before = record_path(target).read_bytes()
                monkeypatch.setattr(module, "STALE", -1.0)  # as if the first had not beaten for so long
                for noting in (lambda: tree.begin({}), lambda: tree.end("finished"), tree.flush, tree.give_up):
                    with pytest.raises(LockedError, match="took over this dataset"):
                        noting()
                tree.close()
                assert record_path(target).read_bytes() == before
                assert other.place.is_dir()
                other.end("finished")
                assert record_path(target).read_bytes().startswith(before)
                other.close()

    def test_owner_of_the_future_is_replaced_unless_it_is_touched(self, target: Path) -> None:
        """A clock was wrong when it was made; it must not be believed until then."""
        self.elsewhere(target, -1e9)
        with Lock(target, patience=0, heartbeat=0.1, settle=0.01) as mine:
            mine.check()
        assert os.listdir(target.parent) == []

    def test_message_names_the_owner_file(self, target: Path) -> None:
        self.elsewhere(target, 0)
        with pytest.raises(LockedError) as caught, Lock(target, patience=0):
            pass
        assert str(caught.value).endswith(f"then run again; if there is no such run, remove {owner_path(target)}")

    def test_foreign_owner_file_stays(self, target: Path) -> None:
        self.elsewhere(target, 0)
        owner_path(target).write_text("my notes")
        os.utime(owner_path(target), (0, 0))
        with pytest.raises(OutputError, match=r"\.owner: is in the way and not of omezarr_proc"), Lock(target, patience=0):
            pass
        assert owner_path(target).read_text() == "my notes"

    def test_old_time_alone_is_no_proof(self, target: Path) -> None:
        """The file server's clock is an hour behind, but the owner lives: it is touched while we look."""
        self.elsewhere(target, 3600)
        timer = threading.Timer(0.3, os.utime, (owner_path(target), (time.time() - 3599,) * 2))
        timer.start()
        with pytest.raises(OutputError, match="elsewhere"), Lock(target, patience=0, heartbeat=0.3):
            pass
        timer.join()

    def test_owner_is_touched(self, target: Path) -> None:
        with Lock(target, heartbeat=0.05):
            os.utime(owner_path(target), (0, 0))
            end = time.monotonic() + 10
            while owner_path(target).stat().st_mtime == 0 and time.monotonic() < end:
                time.sleep(0.01)
            assert owner_path(target).stat().st_mtime > 0


@pytest.mark.parametrize("left", [b"", bytes(100), b'{"pi', b'{"pid": 7, "ho'])
def test_what_a_crash_left_of_a_lock_file_is_in_nobodys_way(target: Path, form: str, left: bytes) -> None:
    target.parent.mkdir()
    lock_path(target).write_bytes(left)
    with Lock(target, patience=0):
        pass
    assert os.listdir(target.parent) == []


ODD = [
    {"since": 10**300},
    {"since": -(10**12)},
    {"since": 1e308},
    {"since": None},
    {"since": True},
    {"pid": 10**30},
    {"pid": -1},
    {"pid": 0},
    {"pid": "1"},
    {"host": 5},
    {"host": "two\nlines"},
    {"system": ["x"]},
]
TRUE = {"pid": 1, "host": "elsewhere", "since": 1700000000, "system": "other"}
CONTENTS = [json.dumps(TRUE | odd).encode() for odd in ODD] + [b'{"pid": 1}', b'{"pid": ' * 500, b'{"pid": \xff\xfe}', bytes(9), b""]


@pytest.mark.parametrize("content", CONTENTS)
def test_whatever_is_in_a_lock_file_that_another_run_holds_the_message_is_one_line(target: Path, form: str, content: bytes) -> None:
    with Lock(target):
        (lock_path if form == "flock" else owner_path)(target).write_bytes(content)
        with pytest.raises(LockedError) as caught, Lock(target, patience=0):
            pass
    assert f"{target}: another run works on this dataset: wait until" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_lock_file_that_is_no_plain_file_is_refused(target: Path, form: str) -> None:
    target.parent.mkdir()
    for make in (lambda path: path.symlink_to("elsewhere"), os.mkfifo, os.mkdir):
        make(lock_path(target))
        with pytest.raises(OutputError, match=r"cannot lock the dataset: Is (a link|no plain file|a directory)"), Lock(target, patience=0):
            pass
        (os.rmdir if make is os.mkdir else os.unlink)(lock_path(target))
    assert not target.with_name("elsewhere").exists()


def test_foreign_file_in_the_way_stays(target: Path, form: str) -> None:
    target.parent.mkdir()
    lock_path(target).write_text("my notes")
    with pytest.raises(OutputError, match="is in the way and not of omezarr_proc: remove it"), Lock(target):
        pass
    assert lock_path(target).read_text() == "my notes"


def test_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(OutputError, match=r"a\.ome\.zarr: cannot lock the dataset: Not a directory"),
        Lock(tmp_path / "file" / "sub" / "a.ome.zarr"),
    ):
        pass
