"""PART: counted from 1, or by what array jobs tell their tasks."""

from pathlib import Path

import pytest
from loaded import load_settings

from omezarr_proc.config.reading import settings_of
from omezarr_proc.model.errors import SettingsError
from omezarr_proc.model.part import Part

FOLDERS = {"INPUT_DIR": "/in", "OUTPUT_DIR": "/out"}


def part(text: str, **environ: str) -> Part | None:
    return load_settings(FOLDERS | environ, {"PART": text}).part


@pytest.mark.parametrize("text", ["3/16", " 3/16 ", "03/16"])
def test_a_part_is_named_by_its_number_from_1(text: str) -> None:
    assert part(text) == Part(3, 16)
    assert str(part(text)) == "3/16"
    assert load_settings(FOLDERS, {"PART": text}).public()["PART"] == "3/16"


def test_without_it_a_run_is_no_part() -> None:
    settings = load_settings(FOLDERS, {})
    assert settings.part is None
    assert settings.public()["PART"] == ""


@pytest.mark.parametrize(
    "text", ["0/16", "17/16", "1/0", "-1/4", "1/100001", "3", "3/", "/3", "a/b", "1.5/2", "1/2/3", "1 / 3", "auto", "auto/0", "³/4"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"PART=.*must be like 3/16"):
        part(text)


def test_who_counts_from_0_is_told() -> None:
    with pytest.raises(SettingsError, match=r"parts are counted from 1: 1/16 to 16/16"):
        part("0/16")


@pytest.mark.parametrize("text", ["1/0", "1/200000"])
def test_a_number_of_parts_that_there_cannot_be_is_no_example(text: str) -> None:
    with pytest.raises(SettingsError, match="must be like 3/16") as refused:
        part(text)
    assert "counted from 1" not in str(refused.value)


@pytest.mark.parametrize(
    ("environ", "number"),
    [
        ({"AWS_BATCH_JOB_ARRAY_INDEX": "0"}, 1),
        ({"AWS_BATCH_JOB_ARRAY_INDEX": "15", "AWS_BATCH_JOB_ARRAY_SIZE": "16"}, 16),
        ({"JOB_COMPLETION_INDEX": "7"}, 8),
        ({"SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_TASK_MIN": "0"}, 1),
        ({"SLURM_ARRAY_TASK_ID": "16", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_COUNT": "16"}, 16),
        ({"SLURM_ARRAY_TASK_ID": "14", "SLURM_ARRAY_TASK_MIN": "10", "SLURM_ARRAY_TASK_STEP": "2", "SLURM_ARRAY_TASK_COUNT": "16"}, 3),
    ],
    ids=str,
)
def test_auto_takes_the_index_of_the_array_job(environ: dict[str, str], number: int) -> None:
    assert part("auto/16", **environ) == Part(number, 16)


@pytest.mark.parametrize(
    ("environ", "reason"),
    [
        ({}, "asks for the index of an array job, and there is none"),
        ({"JOB_COMPLETION_INDEX": "16"}, "JOB_COMPLETION_INDEX=16 is not one of 16 tasks"),
        ({"AWS_BATCH_JOB_ARRAY_INDEX": "3", "AWS_BATCH_JOB_ARRAY_SIZE": "20"}, r"the array job has 20 tasks \(AWS_BATCH_JOB_ARRAY_SIZE\)"),
        # a task that is started again alone: the first index is its own
        ({"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_MIN": "7", "SLURM_ARRAY_TASK_COUNT": "1"}, "the array job has 1 tasks"),
        ({"SLURM_ARRAY_TASK_ID": "x"}, "SLURM_ARRAY_TASK_ID is no whole number"),
    ],
    ids=str,
)
def test_auto_is_refused_where_that_would_be_another_part(environ: dict[str, str], reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        part("auto/16", **environ)


def test_a_call_of_python_names_its_part() -> None:
    assert settings_of({"part": "2/3"}, output_dir=Path("out")).part == Part(2, 3)
    with pytest.raises(SettingsError, match="must name its number: 1/3 to 3/3"):
        settings_of({"part": "auto/3"}, output_dir=Path("out"))


@pytest.mark.parametrize("other", [{"EXISTING": "force"}, {"ASSET_PROPERTIES": "1"}], ids=str)
def test_what_no_part_can_do_is_refused(other: dict[str, str]) -> None:
    name, value = next(iter(other.items()))
    with pytest.raises(SettingsError, match=f"{name}={value} is not possible with PART"):
        part("1/2", **other)


def test_a_cluster_is_named_or_found_where_dask_says_and_gives_out_parts_itself() -> None:
    folders = {"INPUT_DIR": "in", "OUTPUT_DIR": "out"}
    dask = {"DASK_SCHEDULER_ADDRESS": "tcp://dask:8786"}
    assert load_settings(folders | dask, {}).cluster == "tcp://dask:8786"
    assert load_settings(folders | dask | {"CLUSTER": "tls://here:1"}, {}).cluster == "tls://here:1"
    assert load_settings(folders | dask | {"PART": "1/2"}, {}).cluster == ""
    assert load_settings(folders | {"DASK_SCHEDULER_ADDRESS": "inproc://"}, {}).cluster == ""
    for wrong, expected in (
        ({"CLUSTER": "host:8786"}, "CLUSTER='host:8786' must be an address like tcp://host:8786"),
        ({"CLUSTER": "tcp://a:1", "PART": "1/2"}, "PART is not possible with CLUSTER"),
        ({"CLUSTER": "tcp://a:1", "EXISTING": "force"}, "EXISTING=force is not possible with CLUSTER"),
    ):
        with pytest.raises(SettingsError) as caught:
            load_settings(folders | wrong, {})
        assert expected in str(caught.value)
