"""Inputs: which files are found, in which order, what they are called, what is refused before work."""

import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from loaded import load_settings

from omezarr_proc import cli
from omezarr_proc.app import log
from omezarr_proc.app.collect import collect
from omezarr_proc.app.inputs import Input, dataset_path, named, natural_key, paired
from omezarr_proc.app.places import check_file, check_output
from omezarr_proc.app.search import find
from omezarr_proc.model.errors import Exit, InputError, SettingsError
from omezarr_proc.model.text import shown


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"II*\0")


def found(folder: Path, output: Path | None = None) -> list[str]:
    return [str(entry.relative) for entry in find(folder, output or folder.parent / "no-such-output").inputs]


@pytest.mark.parametrize(
    ("name", "apart", "dataset"),
    [
        ("a.ome.tiff", "", "a.ome.zarr"),
        ("a.OME.TIF", "", "a.ome.zarr"),
        ("a.tiff", "series1", "a.series1.ome.zarr"),
        ("sub/dir/a.b.tif", "series12", "sub/dir/a.b.series12.ome.zarr"),
        ("ome.tif", "", "ome.ome.zarr"),
        ("a.tif.tif", "", "a.tif.ome.zarr"),
        ("slide.dat", "", "slide.dat.ome.zarr"),
        (".ome.tif", "", ".ome.ome.zarr"),
    ],
)
def test_dataset_names(name: str, apart: str, dataset: str):
    assert dataset_path(Path(name), apart) == Path(dataset)


@given(st.lists(st.tuples(st.text("aB", max_size=3), st.integers(0, 3000)), min_size=1))
def test_natural_order_is_by_text_in_any_case_then_by_number(pairs: list[tuple[str, int]]):
    paths = [Path(f"{text}_{number}_.tif") for text, number in pairs]
    key = {path: (text.lower(), number) for path, (text, number) in zip(paths, pairs, strict=True)}
    assert [key[path] for path in sorted(paths, key=natural_key)] == sorted(key[path] for path in paths)


@given(st.lists(st.text(st.characters(exclude_characters="/\0"), min_size=1).filter(lambda name: name != "."), min_size=2))
def test_natural_order_is_total(names: list[str]):
    assert sorted(map(Path, names), key=natural_key) == sorted(map(Path, reversed(names)), key=natural_key)


def test_endings_in_any_case_also_in_subfolders_in_natural_order(tmp_path: Path):
    touch(tmp_path, "s10.TIF", "s2.tiff", "S1.Ome.Tif", "deep/er/x.OME.TIFF", "notes.txt", "a.tif.gz", "tif", "a.ome.xml")
    assert found(tmp_path) == ["deep/er/x.OME.TIFF", "S1.Ome.Tif", "s2.tiff", "s10.TIF"]


def test_hidden_files_folders_called_tif_datasets_and_other_things_are_no_inputs(tmp_path: Path):
    touch(tmp_path, "a.tif", "._a.tif", ".hidden.tif", ".git/b.tif", ".tif", "old.ome.zarr/0/c.tif", "folder.tif/inside.tif")
    os.mkfifo(tmp_path / "pipe.tif")
    assert found(tmp_path) == ["a.tif", "folder.tif/inside.tif"]


def test_links_to_files_and_folders_are_followed_and_loops_end(tmp_path: Path):
    touch(tmp_path, "elsewhere/x.tif", "in/real/a.tif")
    inside = tmp_path / "in"
    (inside / "link.tif").symlink_to(tmp_path / "elsewhere/x.tif")
    (inside / "0_more").symlink_to(tmp_path / "elsewhere")
    (inside / "0_again").symlink_to(inside / "real")
    (inside / "real/loop").symlink_to(inside)
    (inside / "self.tif").symlink_to(inside / "self.tif")
    (inside / "broken.tif").symlink_to(tmp_path / "gone.tif")
    assert found(inside) == ["0_more/x.tif", "broken.tif", "link.tif", "real/a.tif", "self.tif"]


@pytest.mark.parametrize("through_link", [False, True])
def test_output_inside_the_input_is_not_searched(tmp_path: Path, through_link: bool):
    touch(tmp_path, "a.tif", "out/b.tif", "z/c.tif")
    output = tmp_path / "out"
    if through_link:
        output = tmp_path.parent / f"{tmp_path.name}-link"
        output.symlink_to(tmp_path / "out")
    assert found(tmp_path, output) == ["a.tif", "z/c.tif"]


def test_output_may_be_the_input_folder(tmp_path: Path):
    touch(tmp_path, "a.tif", "a.ome.zarr/0/zarr.json")
    assert found(tmp_path, tmp_path) == ["a.tif"]


@pytest.mark.parametrize(
    "pair",
    [
        ("a.tif", "a.ome.tif"),
        ("a.tif", "a.TIFF"),
        ("x/A.tif", "x/a.tif"),
        ("x/a.tif", "X/a.tif"),
        ("\u00e9.tif", "e\u0301.tif"),
        ("ß.tif", "SS.tif"),
    ],
)
def test_two_inputs_of_one_name_know_of_each_other(tmp_path: Path, pair: tuple[str, str]):
    touch(tmp_path, *pair, "other.tif")
    paths = {tmp_path / name for name in pair}
    twins = {entry.path: entry.twin for entry in find(tmp_path, tmp_path / "out").inputs}
    assert twins == {path: next(iter(paths - {path})) for path in paths} | {tmp_path / "other.tif": None}


def test_of_three_alike_each_names_another():
    entries = paired([Input(Path(f"{n}/a.tif"), Path("a.tif")) for n in range(3)])
    assert [entry.twin for entry in entries] == [Path("1/a.tif"), Path("2/a.tif"), Path("0/a.tif")]


def test_only_a_pair_of_one_name_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for name in ("a.tif", "a.ome.tif", "b.tif"):
        tifffile.imwrite(tmp_path / name, np.ones((20, 20), np.uint8), metadata=None)
    assert cli.main(["--input-dir", str(tmp_path), "--output-dir", str(tmp_path / "out")]) == Exit.CANNOT_WRITE
    said = [line for line in capsys.readouterr().err.splitlines() if "ERROR" in line]
    assert len(said) == 2
    for line, other in zip(said, ("a.tif", "a.ome.tif"), strict=True):
        assert f"would become a.ome.zarr as {tmp_path / other} would, so neither is converted; rename one of them" in line
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.ome.zarr"]


def test_the_same_name_in_two_folders_is_fine():
    assert not any(e.twin for e in paired([Input(Path("in/a/x.tif"), Path("a/x.tif")), Input(Path("in/b/x.tif"), Path("b/x.tif"))]))


def test_named_files_keep_their_order_and_count_once(tmp_path: Path):
    names = ["z/b.tif", "a.svs", "./a.svs", "-x.tif"]
    assert [entry.path for entry in named(names)] == [Path("z/b.tif"), Path("a.svs"), Path("-x.tif")]
    assert [entry.relative for entry in named(names)] == [Path("b.tif"), Path("a.svs"), Path("-x.tif")]
    assert [entry.twin for entry in named(["one/a.tif", "two/a.ome.tif"])] == [Path("two/a.ome.tif"), Path("one/a.tif")]


def test_no_tiff_says_what_is_there(tmp_path: Path):
    with pytest.raises(SettingsError, match="it is empty"):
        find(tmp_path, tmp_path / "out")
    touch(tmp_path, *(f"p{number}.PNG" for number in range(7)), "sub/b.czi", "README", "d.ome.zarr/0/c/0")
    with pytest.raises(SettingsError) as caught:
        find(tmp_path, tmp_path / "out")
    for part in ("7 .png", "1 .czi", "1 no ending", "1 .zarr", "p0.PNG", ", ...", ".tiff .tif .btf", str(tmp_path)):
        assert part in str(caught.value)


def test_input_dir_that_is_missing_or_a_file_is_refused(tmp_path: Path):
    touch(tmp_path, "a.tif")
    with pytest.raises(SettingsError, match="does not exist"):
        find(tmp_path / "x", tmp_path)
    with pytest.raises(SettingsError, match="is not a folder"):
        find(tmp_path / "a.tif", tmp_path)


@pytest.fixture
def denied(monkeypatch: pytest.MonkeyPatch):
    """Makes folders called `locked` unreadable, for root as well."""
    scandir = os.scandir

    def guarded(path: str | Path):
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)


@pytest.mark.usefixtures("denied")
def test_an_unreadable_subfolder_is_left_out_with_a_warning(tmp_path: Path):
    touch(tmp_path, "in/a.tif", "in/locked/b.tif")
    settings = load_settings({"INPUT_DIR": str(tmp_path / "in"), "OUTPUT_DIR": str(tmp_path / "out")}, {})
    lines: list[str] = []
    log.configure(settings, lines.append)
    try:
        assert [entry.relative for entry in collect(settings, create_output=True)] == [Path("a.tif")]
    finally:
        log.close()
    assert "WARNING" in lines[0]
    assert f"{tmp_path}/in/locked: Permission denied" in lines[0]


@pytest.mark.usefixtures("denied")
def test_an_unreadable_input_dir_is_refused(tmp_path: Path):
    touch(tmp_path, "locked/b.tif")
    with pytest.raises(SettingsError, match="locked: Permission denied"):
        find(tmp_path / "locked", tmp_path / "out")


def test_output_dir_is_made_only_when_asked_and_not_before_there_is_something_to_convert(tmp_path: Path):
    touch(tmp_path, "in/a.tif")
    settings = load_settings({"INPUT_DIR": str(tmp_path / "in"), "OUTPUT_DIR": str(tmp_path / "x/y")}, {})
    collect(settings, create_output=False)
    assert not (tmp_path / "x").exists()
    collect(settings, create_output=True)
    assert (tmp_path / "x/y").is_dir()
    (tmp_path / "empty").mkdir()
    nothing = load_settings({"INPUT_DIR": str(tmp_path / "empty"), "OUTPUT_DIR": str(tmp_path / "z")}, {})
    with pytest.raises(SettingsError, match="no TIFF"):
        collect(nothing, create_output=True)
    assert not (tmp_path / "z").exists()


@pytest.mark.parametrize("create", [False, True])
def test_output_dir_that_cannot_be_a_folder_is_refused(tmp_path: Path, create: bool):
    touch(tmp_path, "file")
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    for name in ("file", "file/below", "dangling"):
        with pytest.raises(SettingsError, match=r"OUTPUT_DIR .* folder|OUTPUT_DIR .* cannot be written") as caught:
            check_output(tmp_path / name, create=create)
        assert "\n" not in str(caught.value)


def test_output_dir_that_is_not_writable_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    tmp_path.chmod(0o750)
    whose = f"user {os.geteuid()}:{os.getegid()} may not write to .*: it belongs to {os.getuid()}:{tmp_path.stat().st_gid} with mode 750"
    with pytest.raises(SettingsError, match=whose):
        check_output(tmp_path, create=True)
    monkeypatch.setattr("os.statvfs", lambda folder: SimpleNamespace(f_flag=os.ST_RDONLY))
    with pytest.raises(SettingsError, match="is on a read-only file system"):
        check_output(tmp_path, create=True)


def test_check_file_takes_only_regular_files_with_content(tmp_path: Path):
    touch(tmp_path, "good.tif")
    check_file(tmp_path / "good.tif")
    (tmp_path / "empty.tif").touch()
    (tmp_path / "folder.tif").mkdir()
    os.mkfifo(tmp_path / "pipe.tif")
    for name, reason in (("empty", "is empty"), ("folder", "is a folder"), ("pipe", "is not a file"), ("gone", "No such file")):
        with pytest.raises(InputError, match=reason):
            check_file(tmp_path / f"{name}.tif")


ODD_NAMES = [
    b"two words.tif",
    b"quote'\".tif",
    "Zelle µ 细胞.tif".encode(),
    b"bad\xff\xfe.tif",
    b"-dash.tif",
    b"line\nbreak\r.tif",
    b"esc\x1b[31m.tif",
    b"{x}<red>.tif",
]


def test_odd_names_survive_and_print_as_one_line(tmp_path: Path):
    for name in ODD_NAMES:
        (tmp_path / os.fsdecode(name)).write_bytes(b"II*\0")
    entries = find(tmp_path, tmp_path / "out").inputs
    assert sorted(os.fsencode(entry.relative) for entry in entries) == sorted(ODD_NAMES)
    for entry in entries:
        assert entry.path.is_file()
        assert shown(entry.path).isprintable()
        assert shown(shown(entry.path)) == shown(entry.path)
        shown(entry.path).encode()
    assert len({shown(entry.path) for entry in entries}) == len(ODD_NAMES)


@given(st.text())
def test_shown_is_always_one_printable_line(text: str):
    assert shown(text).isprintable()
