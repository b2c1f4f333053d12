"""The pages beside the code: links lead somewhere, decisions are listed and dated, the changelog has this version."""

import re
from pathlib import Path

import pytest
from runs import ROOT

import omezarr_proc

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
