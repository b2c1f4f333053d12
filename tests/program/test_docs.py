"""The pages beside the code: links lead somewhere, decisions are listed and dated, the changelog has this version."""

import importlib
import json
import pkgutil
import re
from dataclasses import replace
from pathlib import Path

import pytest
from pyramids import picture
from runs import ROOT

import omezarr_proc
from omezarr_proc.app.stop import CODES
from omezarr_proc.build.dataset import object_count, pyramid_of
from omezarr_proc.config.settings import Settings
from omezarr_proc.model.errors import Exit, ProcError
from omezarr_proc.model.image import AxisSize

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("data/*.md"), *ROOT.glob("docs/**/*.md")])
DECISIONS = sorted(set(ROOT.glob("docs/decisions/*.md")) - {ROOT / "docs/decisions/README.md"})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_other_pages_lead_there(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)[^):]*\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_a_decision_is_listed_under_its_date_and_short(page: Path) -> None:
    title, _, date, *lines = page.read_text().splitlines()
    listed = (page.parent / "README.md").read_text()
    assert f"| [{title.removeprefix('# ')}]({page.name}) | {date[:10]} |" in listed
    assert re.match(r"\d{4}-\d\d-\d\d, ", date)
    assert len(lines) < 40


def test_the_changelog_has_this_version_and_what_comes() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert "## [Unreleased]" in text
    assert re.search(rf"^## \[{re.escape(omezarr_proc.__version__)}\] - \d{{4}}-\d\d-\d\d$", text, re.MULTILINE)


def test_each_module_is_on_one_line_of_the_page_on_architecture() -> None:
    """A name without a folder is in the folder of the one before it."""
    tables = (ROOT / "docs/architecture.md").read_text().partition("## Layers")[0]
    named: list[str] = []
    for line in tables.splitlines():
        folder = ""
        for name in re.findall(r"`([\w/]+\.py)`", line):
            folder = name.rpartition("/")[0] or folder
            named.append(f"{folder}/{name.rpartition('/')[2]}".removeprefix("/"))
    package = ROOT / "omezarr_proc"
    assert sorted(named) == sorted(str(path.relative_to(package)) for path in package.rglob("*.py") if path.name != "__init__.py")


@pytest.mark.parametrize("page", ["docs/words.md", "CONTRIBUTING.md"])
def test_modules_that_a_page_names_are_there(page: str) -> None:
    folders = "app|build|check|config|engine|host|model|ngff|pixels|plan|publish|store|tiff|viewer|work"
    names = re.findall(rf"`((?:{folders})/[\w/]+\.py)`", (ROOT / page).read_text())
    assert names
    assert [name for name in names if not (ROOT / "omezarr_proc" / name).exists()] == []


def test_the_table_of_costs_has_the_objects_that_datasets_have() -> None:
    rows = re.findall(r"(\d+) objects \| \$([\d.]+) \| (\d+) objects \| \$([\d.]+)", (ROOT / "docs/object-stores.md").read_text())
    sizes = {axis: AxisSize(0.5, "micrometer") for axis in "xyz"}
    d = picture(39936, 60416, c=3, samples=3)
    images = (
        (picture(16384, 16384, c=3, samples=3), 2),
        (d, 2),
        (replace(picture(2048, 2048, z=500), dtype="uint16", sizes=sizes), 2),
        (d, 1),
    )
    for (image, downsample), row in zip(images, rows, strict=True):
        expected = []
        for sharding in ("off", "on"):
            settings = Settings(sharding=sharding, initial_downsample=downsample)
            objects = object_count(image, pyramid_of(image, settings), settings)
            expected += [str(objects), f"{objects * 0.005 / 1000:.4f}"]
        assert row == tuple(expected)


def every_error() -> set[type[ProcError]]:
    """All kinds of errors of the package that have a code of their own."""
    for module in pkgutil.walk_packages(omezarr_proc.__path__, "omezarr_proc."):
        if not module.name.endswith(("__main__", "memplot")):  # the latter wants matplotlib
            importlib.import_module(module.name)
    left, found = [ProcError], set()
    while left:
        found.add(kind := left.pop())
        left += kind.__subclasses__()
    return {kind for kind in found if kind.__module__.startswith("omezarr_proc.") and "code" in vars(kind)}


def test_the_runbook_has_each_code_with_its_status_and_its_error_in_lambda() -> None:
    kinds = every_error()
    rows = re.findall(r"^\| `([a-z-]+)` \| (\d+) \|(?: `(\w+)`)? \| .+ \| .+ \|$", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE)
    expected = [(kind.code, str(int(kind.exit)), kind.__name__) for kind in kinds]
    assert sorted(rows) == sorted(expected + [(code, str(int(status)), "") for status, code in CODES.items()])
    assert len({kind.code for kind in kinds}) == len(kinds)


def test_the_schema_of_the_report_has_each_code_and_status() -> None:
    schema = json.loads((ROOT / "docs/report.schema.json").read_text())
    codes = [kind.code for kind in every_error()] + list(CODES.values())
    assert sorted(schema["$defs"]["code"]["enum"][1:]) == sorted(codes)
    assert schema["properties"]["status"]["enum"] == [None, *map(int, Exit)]


def test_readme_and_runbook_have_each_exit_status() -> None:
    for page in ("README.md", "docs/runbook.md"):
        text = (ROOT / page).read_text()
        assert all(re.search(rf"^\| .*\b{int(status)}\b", text, re.MULTILINE) for status in Exit), page


def test_every_version_says_whether_bytes_change() -> None:
    _, *versions = re.split(r"^## ", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert all(re.search(r"^### Bytes\n\n- ", text, re.MULTILINE) for text in versions)
    assert 'grep -qxF "### Bytes" text.md' in (ROOT / ".github/workflows/release.yml").read_text()
