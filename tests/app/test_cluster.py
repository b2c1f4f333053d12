"""What a cluster is given and when, what a worker is asked, and what becomes of the answers; on a real one in program/test_cluster.py."""

import pickle
from collections import deque
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from loaded import load_settings

from omezarr_proc.app.cluster.errand import Made, Notebook, Question, UnwantedError, check, versions, within
from omezarr_proc.app.cluster.gathered import Gathered
from omezarr_proc.app.cluster.run import _of_worker
from omezarr_proc.app.cluster.waiting import A_WORKER, MOST_DEATHS, PATIENCE, PAUSE, SHARE_BYTES, WORTH_BYTES, Waiting, share_count
from omezarr_proc.app.report import Report
from omezarr_proc.config.settings import Settings
from omezarr_proc.model.errors import InputError, MissingFolderError, OutputError, SettingsError
from omezarr_proc.model.events import Begun
from omezarr_proc.model.outcome import Outcome
from omezarr_proc.model.part import Part
from omezarr_proc.publish.lock import LockedError


def test_a_batch_is_cut_for_its_work_and_its_workers() -> None:
    assert share_count(0, [1]) == share_count(WORTH_BYTES, [1] * 100) == 1
    assert share_count(SHARE_BYTES, [1] * 100) == SHARE_BYTES // WORTH_BYTES  # no smaller shares are worth it
    assert share_count(100 * SHARE_BYTES, [1, 1]) == 100
    assert share_count(100 * SHARE_BYTES, [10, 10]) == 10  # they are ten times as fast
    assert share_count(2 * SHARE_BYTES, [8, 8]) == 2 * A_WORKER
    assert share_count(1 << 60, [1]) == 100_000


def test_a_share_that_is_lost_comes_first_and_not_for_ever() -> None:
    waiting = Waiting(deque([1, 2, 3]))
    assert waiting.take(0) == 1
    for _ in range(MOST_DEATHS - 1):
        assert waiting.died(1)
        assert waiting.take(0) == 1
    assert not waiting.died(1)
    assert [waiting.take(0), waiting.take(0), waiting.take(0)] == [2, 3, None]
    assert not waiting


def test_a_share_in_other_hands_comes_later_and_not_for_ever() -> None:
    waiting = Waiting(deque([1, 2]))
    assert waiting.take(0) == 1
    assert waiting.in_use(1, 0.0)
    assert [waiting.take(0), waiting.take(0)] == [2, None]
    assert waiting
    assert waiting.take(PAUSE) == 1
    assert waiting.in_use(1, PATIENCE)
    assert not waiting.in_use(1, PATIENCE + 1)
    assert waiting.give_up() == [1]


def test_a_worker_uses_its_own_part_of_a_machine() -> None:
    settings = Settings(memory_limit_mb=0, max_workers=0)
    assert within(settings, 4, None) == replace(settings, max_workers=4)
    assert within(settings, 4, 3 << 30) == replace(settings, max_workers=4, memory_limit_mb=3072)
    assert within(replace(settings, max_workers=2, memory_limit_mb=500), 4, 3 << 30) == Settings(max_workers=2, memory_limit_mb=500)


def test_what_a_worker_is_told_holds_no_token() -> None:
    values = {"INPUT_DIR": "in", "OUTPUT_DIR": "/out", "SESSION_TOKEN": "very-secret", "REFRESH_TOKEN": "as-secret", "REPORT": "r.json"}
    settings = load_settings(values | {"CLUSTER": "tcp://host:8786", "PREVIEW": "thumbnail", "ASSET_PROPERTIES": "1"}, {})
    told = _of_worker(settings, Part(2, 3))
    assert b"very-secret" not in pickle.dumps(told)
    assert b"as-secret" not in pickle.dumps(told)
    assert (told.part, told.cluster, told.report, told.preview, told.asset_properties) == (Part(2, 3), "", None, False, False)


def test_a_worker_that_makes_other_bytes_or_sees_other_storage_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".key").write_bytes(b"content")
    (tmp_path / "a.tif").write_bytes(b"12345")
    question = Question(versions(), tmp_path, ".key", b"content", (tmp_path / "a.tif", 5))
    check(question)
    with pytest.raises(SettingsError, match=r"it has omezarr_proc .*, and this run omezarr_proc 9: install the same everywhere"):
        check(replace(question, versions=("omezarr_proc 9",)))
    with pytest.raises(MissingFolderError, match=r"it does not see the OUTPUT_DIR .* of this run .*: mount the same there"):
        check(replace(question, output_dir=tmp_path / "elsewhere"))
    with pytest.raises(MissingFolderError, match="it sees another OUTPUT_DIR"):
        check(replace(question, content=b"other"))
    with pytest.raises(MissingFolderError, match="it sees another file as"):
        check(replace(question, first=(tmp_path / "a.tif", 6)))
    with pytest.raises(MissingFolderError, match="it does not see the input"):
        check(replace(question, first=(tmp_path / "b.tif", 5)))


def test_work_that_nobody_wants_ends() -> None:
    wanted = [True]
    notebook = Notebook(lambda: wanted[0])
    notebook.advance(1)
    wanted[0] = False
    notebook.SECONDS = 0
    with pytest.raises(UnwantedError):
        notebook.advance(1)


def test_images_that_are_made_side_by_side_keep_their_events() -> None:
    notebook = Notebook(lambda: True)
    aside = []
    for name in "ab":
        notebook.begin(Begun(source=name, series=0, target=f"/out/{name}", shape=(1, 1), levels=1, objects=3))
        aside.append(notebook.aside())
    for name, image in zip("ab", aside, strict=True):
        notebook.again(image)
        notebook.skip(name, "is there", f"/out/{name}")
    assert [(len(events), events[0][1][0].source, events[1][1][0]) for events in notebook.images] == [(2, "a", "a"), (2, "b", "b")]
    assert [result.source for result in notebook.results.done] == ["a", "b"]


def made(target: str, status: str, error: OutputError | InputError | None = None) -> Made:
    """What a worker says of an image: as a run has it, sent through a pickle."""
    notebook = Notebook(lambda: True)
    notebook.begin(Begun(source="/in/a", series=0, target=target, shape=(1, 1), levels=1, objects=3))
    {
        "failed": lambda: notebook.fail("/in/a", error, target),
        "skipped": lambda: notebook.skip("/in/a", "is there", target),
        "part": lambda: notebook.share("/in/a", "done", target),
    }[status]()
    outcome = Outcome(source="/in/a", status=status, target=Path(target), error=error)
    return pickle.loads(pickle.dumps(Made(outcome, notebook.images[0], notebook.results.done[0])))


def test_of_many_answers_each_image_is_told_once() -> None:
    report = Report()
    gathered = Gathered(report, of=2)
    assert gathered.take(1, [made("/out/a", "part"), made("/out/b", "skipped")], "w1") is None
    assert (len(report.results.done), gathered.lacks("/in/a", "/out/a"), gathered.lacks("/in/a", "/out/b")) == (1, True, False)
    in_use = gathered.take(2, [made("/out/a", "failed", LockedError("in use")), made("/out/b", "skipped")], "w2")
    assert in_use and len(report.results.done) == 1
    for worker in ("w3", "w4"):  # two shares of one image: both found that segment
        gathered.take(3, [made("/out/a", "failed", InputError("segment 7 of plane 3 is corrupt", source="/in/a"))], worker)
    assert [str(error) for error in report.failures] == ["/in/a: segment 7 of plane 3 is corrupt (on the worker w3)"]
    assert [result.outcome for result in report.results.done] == ["skipped", "failed"]
    entries = [SimpleNamespace(path=Path("/in/a"))]
    items = [SimpleNamespace(target=Path(name)) for name in ("/out/a", "/out/b")]
    assert [outcome.status for outcome in gathered.in_order(entries, items)] == ["failed", "skipped"]
