"""Whole datasets, byte for byte, against digests that were written down before: what is rebuilt inside must not show outside.

`make golden` writes them anew, for a change that is meant to change bytes; the commit says so.
"""

from pathlib import Path

import pytest

from tests.golden import corpus, digests
from tests.golden.digests import CASES, Case


@pytest.fixture(scope="module")
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[Case, dict[str, str]]:
    """Every case of this run's tests, converted at once."""
    digests.load(digests.FILE)
    chosen = {item.callspec.params["case"] for item in request.session.items if item.path == request.path and hasattr(item, "callspec")}
    return digests.convert_all([case for case in CASES if case in chosen], tmp_path_factory.mktemp("golden"))


@pytest.mark.parametrize("case", [pytest.param(case, marks=[pytest.mark.slow] * case.slow, id=str(case)) for case in CASES])
def test_the_bytes_of_every_dataset_are_what_they_were(case: Case, made: dict[Case, dict[str, str]]) -> None:
    assert made[case] == digests.load(digests.FILE)[case.group.name]


@pytest.mark.shared
@pytest.mark.skipif(not corpus.present(), reason="needs the shared corpus beside the repository")
def test_the_bytes_of_datasets_of_found_files_are_what_they_were(tmp_path: Path) -> None:
    assert corpus.convert(tmp_path) == digests.load(corpus.FILE)
