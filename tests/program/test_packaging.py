"""What users and the platform see around the code: console script, image, pins, samples, README and manifest."""

import re
import shutil
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ElementTree
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from loaded import load_settings
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from readme import readme_table
from tifffile import TiffFile

import omezarr_proc
from omezarr_proc import __version__
from omezarr_proc.config.entry import Entry
from omezarr_proc.config.settings import table

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
README = (ROOT / "README.md").read_text()
SAMPLES = {name: ROOT / "data" / "input" / f"{name}.ome.tiff" for name in ("brightfield", "fluorescence")}
OME = "{http://www.openmicroscopy.org/Schemas/OME/2016-06}"


def test_every_module_that_workflows_and_the_image_import_is_there() -> None:
    named = [
        (path, module)
        for path in (ROOT / "Dockerfile", ROOT / "Makefile", *(ROOT / ".github/workflows").iterdir())
        for module in re.findall(r"import (omezarr_proc(?:\.\w+)*)", path.read_text())
    ]
    extensions = re.findall(r'"(omezarr_proc[.\w]*)"', (ROOT / "setup.py").read_text())
    assert "omezarr_proc.pixels._kernels" in {module for _, module in named}
    for path, module in named:
        source = ROOT / module.replace(".", "/")
        assert module in extensions or source.is_dir() or source.with_suffix(".py").is_file(), f"{path.name}: {module}"


@pytest.mark.parametrize("command", [["omezarr-proc"], ["python", "-m", "omezarr_proc"]])
def test_console_script_and_module_are_the_same_program(command: list[str]) -> None:
    program = Path(sys.executable).with_name(command[0])
    if not program.exists():
        pytest.skip(f"{command[0]} is not installed beside {sys.executable}")
    done = subprocess.run([program, *command[1:], "--version"], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == f"omezarr-proc {__version__}\n"


def test_the_image_says_of_which_commit_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert omezarr_proc.version() == __version__
    monkeypatch.setattr(omezarr_proc, "REVISION_FILE", tmp_path / "REVISION")
    (tmp_path / "REVISION").write_text("")
    assert omezarr_proc.version() == __version__
    (tmp_path / "REVISION").write_text("0123abc-dirty")
    assert omezarr_proc.version() == f"{__version__} (commit 0123abc-dirty)"


def test_labels_of_the_image() -> None:
    dockerfile, makefile = (ROOT / "Dockerfile").read_text(), (ROOT / "Makefile").read_text()
    for label, argument in {"version": "VERSION", "revision": "REVISION", "source": "SOURCE", "created": "CREATED"}.items():
        assert f"org.opencontainers.image.{label}=${argument}" in dockerfile
        assert f"--build-arg {argument}=" in makefile
    assert "omezarr-proc.sbom=$SBOM" in dockerfile
    assert "--build-arg SBOM=/usr/share/doc/omezarr-proc/sbom.cdx.json" in makefile


def test_image_installs_pinned_versions_without_what_built_it() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    build, final = re.split(r"^FROM \$\{BASE_IMAGE\}$", dockerfile, flags=re.MULTILINE)
    assert "\nARG BASE_IMAGE=python:3.12-slim\n" in dockerfile.partition("FROM")[0]
    assert all(re.search(r"--require-hashes|--no-deps", line) for line in build.splitlines() if "pip" in line and " install " in line)
    assert not re.search(r"pip install|apt-get", final)
    assert "\nUSER " not in final, "entrypoint.sh chooses"
    assert 'ENTRYPOINT ["/entrypoint.sh"]' in final
    for source in re.findall(r"^COPY (?!--from)(?:--\S+ )*(.+) \S+$", dockerfile, flags=re.MULTILINE):
        for name in source.replace("[n]", "n").split():
            assert (ROOT / name).exists() or name == "sbom.cdx.json", "make docker-build makes it"
            assert f"!{name}\n" in (ROOT / ".dockerignore").read_text()


def pins() -> dict[str, Requirement]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return {canonicalize_name(pin.name): pin for pin in map(Requirement, lines)}


def test_constraints_are_pins_alone() -> None:
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert re.fullmatch(r"[\w.-]+==[\w.]+; python_version >= '3\.12'", line)


def locked(name: str) -> dict[str, Requirement]:
    """The pins of a requirements file; each has a hash, or two where there is a wheel for each architecture."""
    text = (ROOT / name).read_text()
    assert re.fullmatch(r"(?:[\w.-]+==[\w.]+(?: \\\n    --hash=sha256:[0-9a-f]{64}){1,2}\n)+", text)
    return {canonicalize_name(pin.name): pin for pin in map(Requirement, re.findall(r"^\S+==\S+", text, flags=re.MULTILINE))}


def test_the_image_has_the_versions_of_the_tests_and_what_these_need() -> None:
    image, pinned = locked("requirements.txt"), pins()
    for name, pin in image.items():
        assert pin.specifier == pinned[name].specifier
    lines = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["remote"]]
    wanted = {canonicalize_name(Requirement(line).name) for line in lines}
    for name in image:
        lines = map(Requirement, metadata.requires(name) or [])
        wanted |= {
            canonicalize_name(r.name) for r in lines if r.marker is None or r.marker.evaluate({"extra": "", "python_version": "3.12"})
        }
    assert wanted <= image.keys()


def test_what_builds_is_pinned() -> None:
    requires = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    (requirement,) = map(Requirement, requires)
    assert locked("requirements-build.txt") == {"setuptools": requirement}


def test_constraints_cover_the_dependencies_and_what_these_need() -> None:
    pinned = pins()
    groups = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][extra] for extra in ("test", "dev", "sbom"))]
    wanted = [Requirement(line) for group in groups for line in group]
    for requirement in wanted:
        (pin,) = pinned[canonicalize_name(requirement.name)].specifier
        assert pin.operator == "=="
        assert requirement.specifier.contains(pin.version), f"{requirement} is pinned to {pin.version}"
    seen: set[str] = set()
    while wanted:
        name = canonicalize_name(wanted.pop().name)
        if name in seen:
            continue
        seen.add(name)
        assert name in pinned
        try:
            lines = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # ruff and mypy need not be here
        wanted += [r for r in map(Requirement, lines) if r.marker is None or r.marker.evaluate({"extra": "", "python_version": "3.12"})]


def test_awslambdaric_is_wanted_on_linux_only() -> None:
    (requirement,) = (r for r in map(Requirement, PROJECT["dependencies"]) if r.name == "awslambdaric")
    assert requirement.marker is not None
    assert requirement.marker.evaluate({"sys_platform": "linux"})
    assert not requirement.marker.evaluate({"sys_platform": "darwin"})


def test_readme_shows_the_settings_as_they_are() -> None:
    assert readme_table() in README


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("goal", re.findall(r"`make ([a-z-]+)`", README))
def test_every_make_goal_of_the_readme_exists(goal: str) -> None:
    done = subprocess.run(["make", "--dry-run", goal], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_readme_names_the_two_commands() -> None:
    assert {"run", "test"} <= set(re.findall(r"`make ([a-z-]+)`", README))


def test_dev_env_holds_right_settings() -> None:
    lines = [line for line in (ROOT / "dev.env").read_text().splitlines() if line and not line.startswith("#")]
    settings = load_settings(dict(line.split("=", 1) for line in lines), {})
    assert settings.input_dir is not None
    assert (ROOT / settings.input_dir).is_dir()


def test_manifest_offers_every_setting_that_is_a_users() -> None:
    manifest = yaml.safe_load((ROOT / "app.yml").read_text())
    assert manifest["runtime"]["computeTypes"] == ["standard", "lambda"]
    parameters = {parameter["name"]: parameter for parameter in manifest["parameters"]}
    places = {"INPUT_DIR", "OUTPUT_DIR"}
    entries = {entry.variable: entry for entry in table() if entry.variable not in places and not entry.help.startswith("given by")}
    assert parameters.keys() == entries.keys()
    for name, entry in entries.items():
        parameter = parameters[name]
        given = str(parameter["default"])  # an empty one counts as unset
        assert given == entry.default_text or entry.rule.parse(given) == entry.rule.parse(entry.default_text)
        assert parameter["type"] == manifest_type(entry)
        assert type(parameter["default"]) is {"boolean": bool, "number": int}.get(parameter["type"], str)
        # The form drops the choices of everything that is no enum.
        choices = entry.rule.text.removeprefix("one of ").split(", ") if parameter["type"] == "enum" else None
        assert parameter.get("allowedValues") == choices


def manifest_type(entry: Entry) -> str:
    """The type of the platform's form: its schema knows these four."""
    if entry.rule.text.startswith("one of "):
        return "enum"
    if isinstance(entry.default, bool):
        return "boolean"
    return "number" if isinstance(entry.default, int) else "string"


@pytest.mark.parametrize(
    ("name", "shape", "pixel", "channels"),
    [
        ("brightfield", (2967, 2220, 3), 0.499, ["Brightfield"]),
        ("fluorescence", (2, 9, 275, 271), 0.3603981534640209, ["LaminB1", "Dapi"]),
    ],
)
def test_samples_state_pixel_size_and_channel_names(name: str, shape: tuple[int, ...], pixel: float, channels: list[str]) -> None:
    with TiffFile(SAMPLES[name]) as tiff:
        pixels = ElementTree.fromstring(tiff.ome_metadata or "").find(f"{OME}Image/{OME}Pixels")
        assert tiff.series[0].shape == shape
        assert tiff.pages.first.is_tiled
    assert pixels is not None
    assert [float(pixels.attrib[f"PhysicalSize{axis}"]) for axis in "XY"] == [pixel, pixel]
    assert {pixels.attrib[f"PhysicalSize{axis}Unit"] for axis in "XY"} == {"µm"}
    assert [channel.attrib["Name"] for channel in pixels.iter(f"{OME}Channel")] == channels


def test_samples_are_small() -> None:
    assert sum(path.stat().st_size for path in SAMPLES.values()) <= 3_000_000
