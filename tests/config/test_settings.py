"""Settings: what is right, what is wrong, and that a token shows nowhere."""

import dataclasses
import json
import pickle
import re
from pathlib import Path

import hypothesis
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from loaded import load_settings
from readme import readme_table

from omezarr_proc.config.reading import settings_of
from omezarr_proc.config.secret import Secret
from omezarr_proc.config.settings import COMPRESSORS, Settings, table
from omezarr_proc.model.address import Address
from omezarr_proc.model.errors import SettingsError

FOLDERS = {"INPUT_DIR": "in", "OUTPUT_DIR": "out"}
TOKEN = "eyJhbGciOi.very-secret"
README = Path(__file__).parents[2] / "README.md"


def load(**variables: str) -> Settings:
    return load_settings(FOLDERS | variables, {})


def refusal(**variables: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(**variables)
    return str(caught.value)


def test_defaults_are_those_of_the_specification():
    settings = load()
    expected = {
        "initial_downsample": 2,
        "tile_size": 256,
        "z_downsample": "auto",
        "z_chunk": "auto",
        "compression": "zstd",
        "compression_level": 5,
        "max_levels": 0,
        "min_dimension": 256,
        "channel_chunking": "auto",
        "max_workers": 0,
        "memory_limit_mb": 0,
        "downsample_method": "mean",
        "ome_xml": "keep",
        "color": "keep",
        "images": "auto",
        "plates": "auto",
        "crop_region": None,
        "crop_channels": None,
        "crop_z": None,
        "crop_t": None,
        "axes": "auto",
        "sequence": "",
        "output_layout": "folders",
        "existing": "replace",
        "on_missing": "error",
        "on_corrupt": "error",
        "use_existing_resolutions": False,
        "zarr_format": "3",
        "ngff_version": "0.5",
        "sharding": "auto",
        "part": None,
        "cluster": "",
        "preview": False,
        "verify": False,
        "certificate": False,
        "ozx": False,
        "asset_properties": False,
        "max_pixels": 1 << 40,
        "max_chunks": 1 << 26,
        "max_segments": 1 << 24,
        "stall_seconds": 600,
        "log_level": "INFO",
        "log_format": "text",
        "report": None,
        "metrics": "none",
        "execution_run_id": "",
        "compute_node_id": "",
        "integration_id": "",
        "workflow_instance_id": "",
        "pennsieve_api_host": "",
        "pennsieve_api_host2": "",
        "environment": "",
        "region": "",
        "deployment_mode": "",
    }
    assert {name: getattr(settings, name) for name in expected} == expected
    assert (settings.input_dir, settings.output_dir) == (Path("in"), Path("out"))
    assert not settings.session_token
    assert not settings.refresh_token
    assert len(expected) + 4 == len(dataclasses.fields(Settings))


def test_default_texts_mean_the_defaults():
    texts = {entry.variable: entry.default_text for entry in table()}
    assert load_settings(texts | FOLDERS, {}) == load()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("downsample_method", "average"),
        ("tile_size", 100),
        ("tile_size", "512"),
        ("tile_size", True),
        ("tile_size", 512.0),
        ("zarr_format", 3),
        ("images", (1, 0)),
        ("images", ()),
        ("preview", 1),
        ("z_chunk", None),
        ("metrics", "EMF"),
    ],
)
def test_settings_are_checked_however_they_are_made(name: str, value: object):
    with pytest.raises(SettingsError, match=f"^wrong settings: {name}=.* must be "):
        Settings(**{name: value})
    with pytest.raises(SettingsError, match=f"{name}=.* must be ") as caught:
        dataclasses.replace(Settings(images=(0, 2), z_chunk=4, preview=True), **{name: value, "max_workers": -1})
    assert "max_workers=-1 must be a whole number, 0 or more" in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("INITIAL_DOWNSAMPLE", "1", 1),
        ("INITIAL_DOWNSAMPLE", "16", 16),
        ("TILE_SIZE", "64", 64),
        ("TILE_SIZE", " 4096 ", 4096),
        ("COMPRESSION", "LZ4HC", "lz4hc"),
        ("COMPRESSION_LEVEL", "9", 9),
        ("CHANNEL_CHUNKING", "Per-Channel", "per-channel"),
        ("IMAGES", "all", "all"),
        ("IMAGES", "2, 0,2", (0, 2)),
        ("USE_EXISTING_RESOLUTIONS", "1", True),
        ("Z_DOWNSAMPLE", "Isotropic", "isotropic"),
        ("Z_CHUNK", "AUTO", "auto"),
        ("Z_CHUNK", "1024", 1024),
        ("LOG_LEVEL", "debug", "DEBUG"),
        ("DEPLOYMENT_MODE", "compliant", "compliant"),
        ("MAX_WORKERS", "", 0),
    ],
)
def test_right_values(variable: str, text: str, value: object):
    assert getattr(load(**{variable: text}), variable.lower()) == value


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("INITIAL_DOWNSAMPLE", "0"),
        ("INITIAL_DOWNSAMPLE", "3"),
        ("INITIAL_DOWNSAMPLE", "-2"),
        ("TILE_SIZE", "32"),
        ("TILE_SIZE", "8192"),
        ("TILE_SIZE", "300"),
        ("TILE_SIZE", "256.0"),
        ("TILE_SIZE", "1_024"),
        ("TILE_SIZE", "٢٥٦"),
        ("COMPRESSION", "gzip"),
        ("Z_DOWNSAMPLE", "2"),
        ("Z_CHUNK", "0"),
        ("Z_CHUNK", "1025"),
        ("COMPRESSION_LEVEL", "0"),
        ("COMPRESSION_LEVEL", "10"),
        ("MAX_LEVELS", "-1"),
        ("MIN_DIMENSION", "0"),
        ("MAX_WORKERS", "9" * 5000),
        ("IMAGES", "0,,1"),
        ("IMAGES", "first"),
        ("AXES", "tczyx"),
        ("EXISTING", "overwrite"),
        ("ON_MISSING", "ignore"),
        ("ON_CORRUPT", "ignore"),
        ("USE_EXISTING_RESOLUTIONS", "yes"),
        ("INPUT_DIR", "a\0b"),
    ],
)
def test_wrong_values_are_named_with_what_would_be_right(variable: str, text: str):
    rule = next(entry.rule.text for entry in table() if entry.variable == variable)
    message = refusal(**{variable: text})
    assert f"{variable}=" in message
    assert text[:20].encode("unicode_escape").decode() in message.encode("unicode_escape").decode().replace("\\\\", "\\")
    assert rule in message
    assert len(message) < 400
    assert "\n" not in message


def test_one_message_lists_every_wrong_value():
    with pytest.raises(SettingsError) as caught:
        load_settings({"TILE_SIZE": "300", "COMPRESSION": "brotli"}, {"AXES": "xyz"})
    message = str(caught.value)
    for part in ("INPUT_DIR", "OUTPUT_DIR", "TILE_SIZE='300'", "COMPRESSION='brotli'", "AXES='xyz'"):
        assert part in message
    assert "INITIAL_DOWNSAMPLE" not in message


def test_snappy_is_refused_naming_what_there_is():
    message = refusal(COMPRESSION="snappy")
    assert "snappy is in no Blosc build" in message
    assert all(name in message for name in ("zlib", "zstd", "lz4", "lz4hc"))


def test_the_offered_compressors_are_in_blosc_and_snappy_is_not():
    from numcodecs import blosc

    there = set(blosc.list_compressors())
    assert set(COMPRESSORS) <= there
    assert "snappy" not in there


def test_overrides_win_and_empty_text_counts_as_unset():
    settings = load_settings(FOLDERS | {"TILE_SIZE": "512", "AXES": ""}, {"TILE_SIZE": "128", "OUTPUT_DIR": "", "MIN_DIMENSION": " "})
    assert (settings.tile_size, settings.axes, settings.output_dir, settings.min_dimension) == (128, "auto", Path("out"), 256)


def test_input_dir_is_not_needed_when_files_are_named():
    settings = load_settings({"OUTPUT_DIR": "out"}, {}, files_named=True)
    assert settings.input_dir is None
    with pytest.raises(SettingsError, match="OUTPUT_DIR"):
        load_settings({}, {}, files_named=True)


def test_folder_names_are_kept_as_they_are():
    assert load(INPUT_DIR=" odd\udcffname ").input_dir == Path(" odd\udcffname ")


@hypothesis.settings(deadline=None)
@given(st.text(min_size=1))
def test_any_text_is_taken_or_refused_in_one_printable_line(text: str):
    for entry in table():
        try:
            settings = load_settings(FOLDERS | {entry.variable: text}, {})
        except SettingsError as error:
            assert str(error).isprintable()
            assert entry.variable in str(error)
        else:
            assert isinstance(getattr(settings, entry.name), type(getattr(load(), entry.name)) | tuple | Path | int)


@hypothesis.settings(deadline=None)
@given(st.integers(-10, 10000))
def test_tile_size_takes_exactly_the_powers_of_two_from_64_to_4096(number: int):
    if number in (64, 128, 256, 512, 1024, 2048, 4096):
        assert load(TILE_SIZE=str(number)).tile_size == number
    else:
        assert "TILE_SIZE" in refusal(TILE_SIZE=str(number))


@hypothesis.settings(deadline=None)
@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=8))
def test_a_token_shows_in_no_form_of_the_settings(token: str):
    settings = load(SESSION_TOKEN=token, REFRESH_TOKEN="other-token")
    token = token.strip()
    without = load()
    assume(len(token) >= 8 and token not in repr(without) and token.encode() not in pickle.dumps(without))  # "compress" is everywhere
    assert settings.session_token.reveal() == token
    shown = [repr(settings), str(settings), f"{settings.session_token} {settings.session_token!r:>20}", "%s" % settings.session_token]  # noqa: UP031
    shown += [
        repr(dataclasses.asdict(settings)),
        repr(dataclasses.astuple(settings)),
        repr(vars(settings)),
        json.dumps(settings.output_shaping()),
    ]
    assert not any(form in text for text in shown for form in (token, repr(token)[1:-1], "other-token"))
    assert token.encode() not in pickle.dumps(settings)
    assert pickle.loads(pickle.dumps(settings)) == dataclasses.replace(settings, session_token=Secret("***"), refresh_token=Secret("***"))


def test_a_token_in_the_wrong_place_is_masked_in_the_message():
    message = refusal(SESSION_TOKEN=TOKEN, REFRESH_TOKEN=TOKEN + "x", TILE_SIZE=TOKEN, AXES=TOKEN + "x", COMPRESSION=f"a{TOKEN}b")
    assert TOKEN not in message
    assert "AXES='***'" in message
    assert "COMPRESSION='a***b'" in message


def test_secrets_lists_the_plain_tokens():
    assert load().secrets() == ()
    assert load(SESSION_TOKEN="a-token", REFRESH_TOKEN="b-token").secrets() == ("a-token", "b-token")


def test_output_shaping_changes_with_what_shapes_pixels_or_metadata_and_with_nothing_else():
    other = {
        "INITIAL_DOWNSAMPLE": "4",
        "TILE_SIZE": "512",
        "COMPRESSION": "lz4",
        "COMPRESSION_LEVEL": "1",
        "MAX_LEVELS": "3",
        "MIN_DIMENSION": "100",
        "Z_DOWNSAMPLE": "none",
        "Z_CHUNK": "8",
        "CHANNEL_CHUNKING": "bundled",
        "DOWNSAMPLE_METHOD": "nearest",
        "OME_XML": "drop",
        "AXES": "czyx",
        "USE_EXISTING_RESOLUTIONS": "1",
        "ON_MISSING": "fill",
        "ON_CORRUPT": "warn",
        "ZARR_FORMAT": "2",
    }
    neutral = {
        "INPUT_DIR": "x",
        "OUTPUT_DIR": "y",
        "IMAGES": "all",
        "PLATES": "off",
        "CROP_REGION": "0,0,5,5",  # a crop is an image with a fingerprint of its own
        "CROP_CHANNELS": "1",
        "CROP_Z": "1-2",
        "CROP_T": "0",
        "OUTPUT_LAYOUT": "root",
        "SHARDING": "on",  # where there are shards, the key says so by itself
        "EXISTING": "force",
        "PART": "2/3",
        "CLUSTER": "tcp://host:8786",
        "PREVIEW": "1",
        "VERIFY": "1",
        "OZX": "1",
        "CERTIFICATE": "1",
        "ASSET_PROPERTIES": "1",
        "SEQUENCE": "a{z}.tif",  # is part of the fingerprint
        "NGFF_VERSION": "0.6",  # is part of the key by itself
        "COLOR": "srgb",  # is part of the key where there is a profile
        "MAX_WORKERS": "3",
        "MEMORY_LIMIT_MB": "99",
        "MAX_PIXELS": "9",
        "MAX_CHUNKS": "9",
        "MAX_SEGMENTS": "9",
        "STALL_SECONDS": "9",
        "LOG_LEVEL": "DEBUG",
        "LOG_FORMAT": "json",
        "REPORT": "r.json",
        "METRICS": "emf",
        "WORKFLOW_INSTANCE_ID": "w",
        "EXECUTION_RUN_ID": "r",
        "COMPUTE_NODE_ID": "n",
        "INTEGRATION_ID": "i",
        "SESSION_TOKEN": "t",
        "REFRESH_TOKEN": "t",
        "PENNSIEVE_API_HOST": "h",
        "PENNSIEVE_API_HOST2": "h",
        "ENVIRONMENT": "e",
        "REGION": "r",
        "DEPLOYMENT_MODE": "basic",
    }
    base = load().output_shaping()
    assert json.loads(json.dumps(base)) == base
    for variable, text in other.items():
        changed = load(**{variable: text}).output_shaping()
        assert {name for name in changed if base.get(name) != changed[name]} == {variable.lower()}
    for variable, text in neutral.items():  # some do not go together
        assert load(**{variable: text}).output_shaping() == base
    assert set(other) | set(neutral) == {entry.variable for entry in table()}


def test_settings_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        load().tile_size = 512  # type: ignore[misc]


def test_the_readme_names_every_variable_with_its_default():
    assert readme_table().count("\n") == 2 + len(list(table()))
    if not README.exists() or "INITIAL_DOWNSAMPLE" not in README.read_text():
        pytest.skip("there is no README with a table of settings yet")
    text = README.read_text()
    for entry in table():
        row = re.search(rf"^\|.*`{entry.variable}`.*$", text, re.MULTILINE)
        assert row, f"the README does not list {entry.variable}"
        assert not entry.default_text or f"`{entry.default_text}`" in row[0]


@pytest.mark.parametrize("name", FOLDERS)
def test_inputs_and_datasets_are_in_a_folder_or_in_an_object_store(name: str):
    for address in ("s3://bucket/prefix", "gs://b", "az://b/c"):
        assert getattr(load_settings(FOLDERS | {name: f"{address}/"}, {}), name.lower()) == Address(address)
    for address in ("https://host/a", "file:///tmp", "s3://"):
        with pytest.raises(SettingsError, match=rf"{name}=.* must be a folder, or a place in an object store"):
            load_settings(FOLDERS | {name: address}, {})
    assert getattr(load_settings(FOLDERS | {name: "./s3:/bucket"}, {}), name.lower()) == Path("s3:/bucket")


def test_an_unknown_deployment_mode_is_a_warning():
    assert "DEPLOYMENT_MODE='expert' is none of basic, secure, compliant" in load(DEPLOYMENT_MODE="expert").warnings()[0]
    assert load(DEPLOYMENT_MODE="Secure").warnings() == load().warnings() == []


@pytest.mark.parametrize(
    ("text", "value"), [("1", True), ("true", True), ("True", True), ("0", False), ("false", False), (" FALSE ", False)]
)
def test_a_flag_is_1_or_0_or_what_forms_send(text: str, value: bool) -> None:
    assert load(PREVIEW=text).preview is value
    assert settings_of({"preview": text.strip()}).preview is value
    assert load(ASSET_PROPERTIES=text).asset_properties is value


@pytest.mark.parametrize("text", ["yes", "2", "on", "truefalse"])
def test_a_flag_is_nothing_else(text: str) -> None:
    assert f"ASSET_PROPERTIES={text!r} must be 1 or 0 (true or false)" in refusal(ASSET_PROPERTIES=text)
    assert f"PREVIEW={text!r} must be one of 0, 1, thumbnail" in refusal(PREVIEW=text)


def test_a_report_is_a_file_on_this_machine() -> None:
    assert "REPORT='s3://bucket/report.json' must be a file (it is not written to object stores)" in refusal(
        REPORT="s3://bucket/report.json"
    )
    assert load(REPORT="./s3:/report.json").report == Path("s3:/report.json")
