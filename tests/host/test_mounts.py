"""Which mount a folder is on, and what of it goes with the container, from mount tables as kernels write them."""

import os
from pathlib import Path

import pytest

from omezarr_proc import cli
from omezarr_proc.host import mounts

TABLE = r"""
623 500 0:61 / / rw,relatime master:1 - overlay overlay rw,lowerdir=/l,upperdir=/u
624 623 0:64 / /proc rw,nosuid - proc proc rw
625 623 0:65 / /tmp rw - tmpfs tmpfs rw,size=65536k
626 623 259:1 /vol /data rw,relatime - ext4 /dev/nvme1n1 rw
627 626 0:70 / /data/with\040space rw - nfs4 127.0.0.1:/ rw,vers=4.1
"""


@pytest.fixture
def table(tmp_path: Path) -> str:
    (tmp_path / "mountinfo").write_text(TABLE.lstrip())
    return str(tmp_path / "mountinfo")


@pytest.mark.parametrize(
    ("folder", "mount", "goes"),
    [
        ("/data/out/not/there", ("/data", "ext4"), False),
        ("/data", ("/data", "ext4"), False),
        ("/database", ("/", "overlay"), True),
        ("/data/with space/x", ("/data/with space", "nfs4"), False),
        ("/tmp/out", ("/tmp", "tmpfs"), True),
        ("/out", ("/", "overlay"), True),
    ],
)
def test_mounts(table: str, folder: str, mount: tuple[str, str], goes: bool) -> None:
    assert mounts.mount_of(Path(folder), table) == mount
    assert mounts.goes_with_the_container(Path(folder), table) is goes


def test_where_it_is_not_told_nothing_is_said(tmp_path: Path) -> None:
    assert not mounts.goes_with_the_container(Path("/out"), str(tmp_path / "absent"))


@pytest.mark.skipif(not os.path.exists("/proc/self/mountinfo"), reason="needs /proc")
@pytest.mark.parametrize("name", ["out", "/out"])
def test_the_image_warns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str) -> None:
    monkeypatch.chdir(tmp_path)
    output = str(tmp_path) + name if name.startswith("/") else name
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.tif").write_bytes(b"II*\0")
    command = ["--input-dir", str(tmp_path / "in"), "--output-dir", output, "--quiet"]
    monkeypatch.setattr(mounts, "goes_with_the_container", lambda folder: True)
    cli.main(command)
    assert "goes with the container" not in capsys.readouterr().err
    monkeypatch.setattr(mounts, "in_image", lambda: True)
    cli.main(command)
    which = f", which is {tmp_path / 'out'} here," if name == "out" else ""
    assert f"OUTPUT_DIR {output}{which} is on no volume: it goes with the container" in capsys.readouterr().err
    monkeypatch.setattr(mounts, "goes_with_the_container", lambda folder: False)
    cli.main(command)
    assert ("is a relative path: name the whole one" in capsys.readouterr().err) is (name == "out")
