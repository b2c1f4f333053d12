"""OUTPUT_LAYOUT=root, the whole program: the same bytes, kills and faults, and what the platform's next steps ask of the folder."""

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from runs import (
    DYING_COMMAND,
    EAGER_COMMAND,
    FLAGS,
    Program,
    Reference,
    digest,
    files_in,
    run,
    slide_run,
    stack_run,
)
from zarr.storage import LocalStore

from omezarr_proc import api, cli
from omezarr_proc.model.errors import SettingsError
from omezarr_proc.store import arrays

__all__ = ["slide_run", "stack_run"]  # fixtures

ROOT_FLAGS = ("--output-layout", "root")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    rng = np.random.default_rng(3)
    tifffile.imwrite(tmp_path / "a.ome.tif", rng.integers(0, 255, (700, 600, 3), np.uint8), photometric="rgb", tile=(256, 256))
    return tmp_path / "a.ome.tif"


def convert(*arguments: str | Path) -> int:
    return cli.main([*map(str, arguments), *ROOT_FLAGS, "--quiet"])


def complete(image: Reference, out: Path) -> str:
    """Run undisturbed: the dataset is there byte for byte, and nothing else, hidden or not."""
    status, text = run(image.source, "--output-dir", out, *FLAGS, *ROOT_FLAGS)
    assert status == 0, text
    assert digest(out) == image.expected
    return text


@pytest.mark.parametrize("zarr_format", ["2", "3"])
def test_the_bytes_are_those_of_the_other_layout_and_every_verb_takes_the_folder(source: Path, tmp_path: Path, zarr_format: str) -> None:
    out = tmp_path / "out"
    assert convert(source, "--output-dir", out, "--zarr-format", zarr_format) == 0
    assert cli.main([str(source), "--output-dir", str(tmp_path / "folders"), "--quiet", "--zarr-format", zarr_format]) == 0
    assert digest(out) == digest(tmp_path / "folders/a.ome.zarr")
    for verb in (["validate", "--deep"], ["info"], ["clean"]):
        assert cli.main([*verb, str(out)]) == 0
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert convert(source, "--output-dir", out, "--zarr-format", zarr_format, "--existing", "fail") == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    assert convert(source, "--output-dir", out, "--existing", "fail", "--tile-size", "64") == 73
    assert convert(source, "--output-dir", out, "--existing", "skip", "--tile-size", "64") == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    assert convert(source, "--output-dir", out, "--zarr-format", zarr_format, "--existing", "force") == 0
    assert digest(out) == digest(tmp_path / "folders/a.ome.zarr")


def test_a_picture_and_other_files_lie_in_the_folder_too(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "README.txt").write_text("mine")
    for flags in ((), ("--tile-size", "64")):
        assert convert(source, "--output-dir", out, "--preview", *flags) == 0
        names = {path.name for path in out.iterdir()}
        assert names - {"OME"} == {"README.txt", "ome.zarr.png", "zarr.json", "0", "1"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ome.tif", "out"]


@pytest.mark.parametrize("also", ["two images", "two files", "one that is no TIFF"])
def test_more_than_one_image_is_an_error_before_any_work(
    source: Path, tmp_path: Path, also: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out, inputs = tmp_path / "out", [source]
    if also == "two images":
        inputs = [tmp_path / "two.ome.tif"]
        with tifffile.TiffWriter(inputs[0], ome=True) as tiff:
            for _ in range(2):
                tiff.write(np.zeros((300, 300), np.uint8))
    elif also == "two files":
        inputs += [tmp_path / "b.tif"]
        tifffile.imwrite(inputs[1], np.zeros((300, 300), np.uint8))
    else:
        inputs += [tmp_path / "b.tif"]
        inputs[1].write_text("no TIFF")
    for flags in ((), ("--dry-run",)):
        assert convert(*inputs, "--output-dir", out, *flags) == 2
        told = capsys.readouterr().err.splitlines()
        assert len(told) == 1 and "there are more: " in told[0] and all(str(path) in told[0] for path in inputs)
    with pytest.raises(SettingsError, match="OUTPUT_LAYOUT=root makes OUTPUT_DIR itself the dataset of one image"):
        api.convert(inputs, out, output_layout="root")
    assert not out.exists() or os.listdir(out) == []
    if also == "two images":
        assert convert(*inputs, "--output-dir", out, "--images", "1") == 0
        assert (out / "zarr.json").exists()


def test_the_members_of_a_set_are_one_image(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    pixels = np.arange(4 * 90 * 80, dtype=np.uint16).reshape(4, 90, 80)
    names, uuids = ["m0.ome.tif", "m1.ome.tif"], ["urn:uuid:" + f"{i}" * 8 for i in (1, 2)]
    data = "".join(
        f'<TiffData IFD="{z % 2}" FirstZ="{z}" PlaneCount="1"><UUID FileName="{names[z // 2]}">{uuids[z // 2]}</UUID></TiffData>'
        for z in range(4)
    )
    for index, name in enumerate(names):
        xml = (
            f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{uuids[index]}"><Image ID="Image:0"><Pixels'
            ' ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="80" SizeY="90" SizeZ="4" SizeC="1" SizeT="1" BigEndian="false">'
            f'<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{data}</Pixels></Image></OME>'
        )
        tifffile.imwrite(
            tmp_path / "in" / name, pixels[2 * index : 2 * index + 2], description=xml, metadata=None, photometric="minisblack"
        )
    assert convert("--input-dir", tmp_path / "in", "--output-dir", tmp_path / "out", "--initial-downsample", "1") == 0
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "out/0", mode="r")[0], pixels)


def test_the_thumbnailer_finds_what_it_reads(source: Path, tmp_path: Path) -> None:
    """Pennsieve's Zarr-Thumbnail-Processor, in our words: `zarr.json` in the folder, multiscales, axes, a level of 256 pixels."""
    out = tmp_path / "out"
    assert convert(source, "--output-dir", out, "--initial-downsample", "1") == 0
    assert os.path.exists(os.path.join(out, "zarr.json"))
    root = zarr.open_group(LocalStore(out), mode="r")
    image = root.attrs["multiscales"][0]
    assert [axis["name"] for axis in image["axes"]] == ["c", "y", "x"]
    assert {channel["label"].upper() for channel in root.attrs["omero"]["channels"]} == {"R", "G", "B"}
    sizes = [min(root[level["path"]].shape[-2:]) for level in image["datasets"]]
    chosen = [level["path"] for level, size in zip(image["datasets"], sizes, strict=True) if size >= 256][-1]
    assert np.asarray(root[chosen][:]).max() > 0


def test_the_importer_finds_what_it_reads(source: Path, tmp_path: Path) -> None:
    """Its root is known by `.zattrs` or `.zgroup`, and every file below is uploaded, hidden ones too: so nothing of ours may be left."""
    out = tmp_path / "out"
    assert convert(source, "--output-dir", out) == 0
    assert convert(source, "--output-dir", out, "--zarr-format", "2") == 0
    assert (out / ".zattrs").exists() and (out / ".zgroup").exists()
    assert "multiscales" in json.loads((out / ".zattrs").read_text())
    uploaded = {os.path.relpath(os.path.join(place, name), out) for place, _, names in os.walk(out) for name in names}
    assert not [name for name in uploaded if name.startswith(".ome.zarr") or name.endswith("zarr.json")]


def test_planes_are_spooled_inside_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside it, a mount's neighbourhood may be read-only."""
    seen = []
    usage = arrays.shutil.disk_usage
    monkeypatch.setattr(arrays.shutil, "disk_usage", lambda folder: (seen.append(folder), usage(folder))[1])
    (tmp_path / "out").mkdir()
    os.close(arrays.spool_file(tmp_path / "out/.ome.zarr.partial", 1))
    assert seen == [tmp_path / "out"]
    assert os.listdir(tmp_path / "out") == []


@pytest.mark.parametrize("seed", [n if n < 1 else pytest.param(n, marks=pytest.mark.slow) for n in range(12)])
def test_the_program_killed_at_a_random_moment(slide_run: Reference, tmp_path: Path, seed: int) -> None:
    moment = random.Random(seed).uniform(0.05, 0.95) * slide_run.seconds
    with Program([slide_run.source, "--output-dir", tmp_path, *FLAGS, *ROOT_FLAGS], EAGER_COMMAND) as program:
        program.wait_for(lambda: time.monotonic() - program.begun > moment)
        program.process.kill()
        program.finish()
        assert program.left() == {}
    found = {name: content for name, content in digest(tmp_path).items() if not name.startswith(".")}
    assert found == slide_run.expected or "zarr.json" not in found
    complete(slide_run, tmp_path)


def test_a_killed_run_is_gone_on_with_and_the_old_dataset_is_whole_meanwhile(stack_run: Reference, tmp_path: Path) -> None:
    assert run(stack_run.source, "--output-dir", tmp_path, *ROOT_FLAGS, "--tile-size", "512")[0] == 0
    old = digest(tmp_path)
    with Program([stack_run.source, "--output-dir", tmp_path, *FLAGS[:2], *ROOT_FLAGS], DYING_COMMAND) as program:
        assert program.finish()[0] == -signal.SIGKILL
    assert {name: content for name, content in digest(tmp_path).items() if not name.startswith(".")} == old
    status, text = run(stack_run.source, "--output-dir", tmp_path, *FLAGS[:2], *ROOT_FLAGS)
    assert status == 0 and "goes on with what an earlier run has finished" in text
    assert digest(tmp_path) == stack_run.expected


def test_two_runs_never_work_on_one_folder(slide_run: Reference, tmp_path: Path) -> None:
    with Program([slide_run.source, "--output-dir", tmp_path, *FLAGS, *ROOT_FLAGS], EAGER_COMMAND) as program:
        assert program.wait_for(lambda: files_in(tmp_path) > 20)
        os.kill(program.process.pid, signal.SIGSTOP)
        status, text = run(slide_run.source, "--output-dir", tmp_path, *FLAGS, *ROOT_FLAGS)
        os.kill(program.process.pid, signal.SIGCONT)
        assert status == 75 and f"{tmp_path}: another run (process {program.process.pid} " in text
        assert program.finish()[0] == 0
    assert digest(tmp_path) == slide_run.expected


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("room", [40, pytest.param(0, marks=pytest.mark.slow), pytest.param(400, marks=pytest.mark.slow)])
def test_full_disk_that_is_the_output_folder_itself(stack_run: Reference, tmp_path: Path, room: int) -> None:
    """A mount of its own, as on the platform, with `room` KB left: the first run fails in good order, the second one finishes."""
    out = tmp_path / "out"
    out.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", out], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        (out / "data.bin").write_bytes(bytes((65536 - room) << 10))
        report = tmp_path / "report.json"
        status, text = run(stack_run.source, "--output-dir", out, *FLAGS, *ROOT_FLAGS, "--report", report)
        assert json.loads(report.read_text())["code"] == "no-space"
        assert status == 73 and "No space left on device (the file system of OUTPUT_DIR is full" in text and "Traceback" not in text
        assert not (out / "zarr.json").exists()
        (out / "data.bin").unlink()
        complete(stack_run, out)
    finally:
        subprocess.run(["umount", out], check=True)


def test_a_part_that_the_image_does_not_have_is_told_and_leaves_no_folder(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for flags in (("--region", "100000,0,10,10"), ("--channels", "77")):
        assert cli.main([str(source), "-o", str(tmp_path / "a.ome.zarr"), *flags]) == 1
        assert str(source) in capsys.readouterr().err
        assert cli.main([str(source), "-o", str(tmp_path / "a.ome.zarr"), "--dry-run", *flags]) == 1
        capsys.readouterr()
    assert not (tmp_path / "a.ome.zarr").exists()


def test_of_several_images_each_is_named_with_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with tifffile.TiffWriter(tmp_path / "two.ome.tif", ome=True) as tiff:
        for side in (300, 100):
            tiff.write(np.zeros((side, side), np.uint8))
    assert cli.main([str(tmp_path / "two.ome.tif"), "-o", str(tmp_path / "a.ome.zarr"), "--region", "0,0,200,200"]) == 2
    told = capsys.readouterr().err
    assert "two.ome.tif (image 0), " in told and "two.ome.tif (image 1 has 100 x 100 pixels, and the region" in told
    assert not (tmp_path / "a.ome.zarr").exists()
