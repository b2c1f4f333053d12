"""Where the output goes by `-o` and by a second word, and errors that name what was given as it was given."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from omezarr_proc import cli
from omezarr_proc.app import flags
from omezarr_proc.config.settings import table


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("a.tif", np.zeros((70, 70), "uint8"))
    return tmp_path


@pytest.mark.parametrize(
    ("words", "output", "layout", "files"),
    [
        (["a.tif", "out/"], "out/", None, ["a.tif"]),
        (["a.tif", "new/b.ome.zarr"], "new/b.ome.zarr", "root", ["a.tif"]),
        (["a.tif", "s3://bucket/out"], "s3://bucket/out", None, ["a.tif"]),
        (["-o", "b.ome.zarr/", "a.tif"], "b.ome.zarr/", "root", ["a.tif"]),
        (["-o", "out", "a.tif", "b.tif", "c.tif"], "out", None, ["a.tif", "b.tif", "c.tif"]),
        (["a.tif", "b.tif"], None, None, ["a.tif", "b.tif"]),  # not there, but named like an input
        (["a.tif", "s3://bucket/b.tif"], None, None, ["a.tif", "s3://bucket/b.tif"]),
        (["a.tif", "data.bin"], None, None, ["a.tif", "data.bin"]),  # a file that is there
        (["a.tif", "out", "--output-dir", "other"], "other", None, ["a.tif", "out"]),
        (["a.tif", "b.tif", "out"], None, None, ["a.tif", "b.tif", "out"]),
    ],
)
def test_where_the_output_goes(here: Path, words: list[str], output: str | None, layout: str | None, files: list[str]) -> None:
    (here / "data.bin").write_bytes(b"")
    arguments = flags.parse(words)
    assert (arguments.output_dir, arguments.output_layout, arguments.files) == (output, layout, files)


@pytest.mark.parametrize(
    ("words", "input_dir", "output", "files"),
    [
        (["scans", "out"], "scans", "out", []),
        (["scans", "-o", "out"], "scans", "out", []),
        (["scans", "scans"], "scans", "scans", []),
        (["s3://bucket/scans", "out"], "s3://bucket/scans", "out", []),
        (["https://host/scans", "out"], None, "out", ["https://host/scans"]),  # of which no listing can be had
        (["scans", "a.tif", "-o", "out"], None, "out", ["scans", "a.tif"]),
        (["scans", "--input-dir", "other"], "other", None, ["scans"]),
        (["--", "scans"], None, None, ["scans"]),
    ],
)
def test_a_folder_alone_is_the_input_dir(here: Path, words: list[str], input_dir: str | None, output: str | None, files: list[str]) -> None:
    (here / "scans").mkdir()
    arguments = cli.parse(words)
    assert (arguments.input_dir, arguments.output_dir, arguments.files) == (input_dir, output, files)


def test_a_folder_is_converted_by_two_words(here: Path) -> None:
    (here / "scans").mkdir()
    (here / "a.tif").rename(here / "scans/a.tif")
    assert cli.main(["scans", "out", "--quiet"]) == 0
    assert (here / "out/a.ome.zarr/zarr.json").exists()


def test_what_is_set_nowhere_has_the_name_that_the_user_knows(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Flags, unless all that is said is said in the environment."""
    assert cli.main(["a.tif", "b.tif"]) == 2
    assert "--output-dir is not set" in capsys.readouterr().err
    assert cli.main([]) == 2
    text = capsys.readouterr().err
    assert "--input-dir is not set" in text and "--output-dir is not set" in text
    assert cli.main(["a.tif", "out", "--sharding", "on", "--zarr-format", "2"]) == 2
    assert "--sharding=on needs --zarr-format=3" in capsys.readouterr().err
    monkeypatch.setenv("INPUT_DIR", ".")
    assert cli.main([]) == 2
    assert "OUTPUT_DIR is not set" in capsys.readouterr().err
    assert cli.main(["--quiet"]) == 2
    assert "--output-dir is not set" in capsys.readouterr().err


def test_a_misspelt_verb_is_asked_about(capsys: pytest.CaptureFixture[str]) -> None:
    for word, verb in (("convrt", "convert"), ("valdiate", "validate")):
        assert cli.main([word, "a.tif"]) == 2
        assert f"{word}: there is no such file; is the verb {verb} meant?" in capsys.readouterr().err


def test_a_dataset_of_the_name_that_was_given(here: Path) -> None:
    assert cli.main(["a.tif", "-o", "sub/b.ome.zarr", "--quiet"]) == 0
    assert (here / "sub/b.ome.zarr/zarr.json").exists()
    assert cli.main(["a.tif", "out", "--quiet"]) == 0
    assert (here / "out/a.ome.zarr/zarr.json").exists()


def test_both_ways_to_say_it_are_one_too_many(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["a.tif", "-o", "out", "--output-dir", "out"]) == 2
    assert "-o and --output-dir both say where the output goes: give one of them" in capsys.readouterr().err


def test_wrong_values_are_named_as_they_were_given(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_LEVELS", "many")
    assert cli.main(["a.tif", "out", "--tile-size", "5"]) == 2
    text = capsys.readouterr().err
    assert "--tile-size='5' must be" in text and "MAX_LEVELS='many' must be" in text
    monkeypatch.delenv("MAX_LEVELS")
    assert cli.main(["--input-dir", "nowhere", "--output-dir", "out"]) == 2
    assert "--input-dir nowhere does not exist" in capsys.readouterr().err
    monkeypatch.setenv("INPUT_DIR", "nowhere")
    assert cli.main(["--output-dir", "a.tif"]) == 2
    assert "INPUT_DIR nowhere does not exist" in capsys.readouterr().err


GIVEN = [entry for entry in table() if entry.environment_only and entry.name != "region"]  # whose flag is that of a crop


@pytest.mark.parametrize("entry", GIVEN, ids=lambda entry: entry.name)
def test_what_the_platform_gives_has_no_flag(capsys: pytest.CaptureFixture[str], entry) -> None:
    assert cli.main(["a.tif", "out", entry.flag, "value"]) == 2
    text = capsys.readouterr().err
    assert f"there is no flag {entry.flag}, since" in text and f"set {entry.variable} in the environment" in text
    assert "value" not in text


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("TILE_SZE", "TILE_SIZE"),
        ("TILESIZE", "TILE_SIZE"),
        ("tile_size", "TILE_SIZE"),
        ("INITIAL_DOWNSAMPEL", "INITIAL_DOWNSAMPLE"),
        ("MAX_WORKER", "MAX_WORKERS"),
        ("OUPUT_LAYOUT", "OUTPUT_LAYOUT"),
    ],
)
def test_a_variable_that_is_nearly_a_setting_is_asked_about(
    variable: str, meant: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, "5 secret")
    assert cli.main(["a.tif", "-o", "out"]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "no setting" in line]
    assert len(lines) == 1
    assert f"{variable} is set, and is no setting: is {meant} meant?" in lines[0]
    assert "secret" not in lines[0]


def test_variables_of_others_are_no_settings_of_ours(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    others = """
        PATH PORT PARTS IMAGE IMAGES_DIR REGIONS AWS_REGION AWS_BATCH_JOB_ARRAY_INDEX LOGLEVEL LOG_FILE LOG_DIR LOG_STREAM MAX_MEMORY
        MAX_THREADS OMP_NUM_THREADS INPUT_FILE INPUT_PATH OUTPUT_FILE OUTPUT_PATH DATA_DIR TMP_DIR CROP_X ZARR_VERSION MEMORY_LIMIT
        ON_ERROR OME_VERSION COMPRESSION_TYPE TILE_COUNT DASK_SCHEDULER_ADDRESS ECS_CONTAINER_METADATA_URI_V4 SLURM_ARRAY_TASK_ID
        ENVIRONMENTS DEPLOYMENT_MODES USE_EXISTING
    """
    for name in others.split():
        monkeypatch.setenv(name, "")
    assert cli.main(["a.tif", "-o", "out"]) == 0
    assert "no setting" not in capsys.readouterr().err
