"""Datasets in a store that answers as Google's do: its conditions are on generations, and deleting what is not there is an error."""

import hashlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from conversion import digest
from googlestore import BUCKET, GoogleStore, google_store
from runs import Program, run

from omezarr_proc.host import remote
from omezarr_proc.model.address import Address
from omezarr_proc.publish import store_lock
from omezarr_proc.publish.holder import myself
from omezarr_proc.publish.lock import LockedError
from omezarr_proc.publish.store_lock import StoreLock
from omezarr_proc.store.remote import Bucket

FLAGS = ("--tile-size", "64", "--quiet", "--max-workers", "2")
DATASET = Address(f"gs://{BUCKET}/out/a.ome.zarr")
pytest.importorskip("obstore", reason="needs the extra `remote`")


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Iterator[GoogleStore]:
    with google_store() as store:
        for name, value in store.environ.items():
            monkeypatch.setenv(name, value)
        remote.client_of.cache_clear()
        yield store
        remote.client_of.cache_clear()


def below(store: GoogleStore, prefix: str) -> dict[str, str]:
    return {
        key.removeprefix(prefix): hashlib.sha256(held.data).hexdigest()
        for key, held in sorted(store.objects.items())
        if key.startswith(prefix)
    }


def test_killed_from_bucket_to_bucket_and_gone_on_with_it_is_the_dataset_of_a_folder(google: GoogleStore, tmp_path: Path) -> None:
    source = tmp_path / "a.ome.tif"
    pixels = np.random.default_rng(3).integers(0, 999, (2, 600, 500), np.uint16)
    tifffile.imwrite(source, pixels, tile=(128, 128), compression="zlib", ome=True, metadata={"axes": "CYX"})
    assert run(source, "--output-dir", tmp_path, *FLAGS)[0] == 0
    google.put("in/a.ome.tif", source.read_bytes(), None)
    command = ["--input-dir", f"gs://{BUCKET}/in", "--output-dir", f"gs://{BUCKET}/out", *FLAGS]
    put = google.put

    with Program(command, environ=google.environ) as program:

        def dying(key, data, match):  # type: ignore[no-untyped-def]
            if len(google.objects) == 40:
                os.kill(program.process.pid, signal.SIGKILL)
            return put(key, data, match)

        google.put = dying  # type: ignore[method-assign]
        program.finish()
    google.put = put  # type: ignore[method-assign]
    assert "out/a.ome.zarr/zarr.json" not in google.objects
    for again in ((), ("--existing", "force")):
        status, text = run(*command, *again, **google.environ)
        assert status == 0, text
        expected, found = digest(tmp_path / "a.ome.zarr"), below(google, "out/a.ome.zarr/")
        assert found.keys() == expected.keys()
        assert {name for name in found if found[name] != expected[name]} == {"zarr.json"}  # its key: the source is another one
    for words in (("validate", "--deep", DATASET), ("verify", DATASET, "--source", f"gs://{BUCKET}/in/a.ome.tif")):
        status, text = run(*words, **google.environ)
        assert status == 0, text


def test_who_lives_keeps_the_lock(google: GoogleStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_lock, "is_dead", lambda holder: False)
    with StoreLock(DATASET, heartbeat=0.05) as lock:
        first = google.objects["out/a.ome.zarr/.omezarr_proc/lock"].generation
        with pytest.raises(LockedError, match=f"process {os.getpid()} "), StoreLock(DATASET, heartbeat=0.05):
            pass
        deadline = time.monotonic() + 30
        while google.objects["out/a.ome.zarr/.omezarr_proc/lock"].generation < first + 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert google.objects["out/a.ome.zarr/.omezarr_proc/lock"].generation >= first + 2, "renewed"
        lock.check()
    assert not google.objects


def test_the_lock_of_a_process_that_is_gone_is_taken_over(google: GoogleStore) -> None:
    gone = json.loads(myself()) | {"pid": (1 << 22) + 1}
    Bucket(DATASET).put(".omezarr_proc/lock", json.dumps(gone).encode())
    with StoreLock(DATASET) as lock:
        lock.check()


def test_what_is_not_there_does_not_keep_others_from_being_deleted(google: GoogleStore) -> None:
    bucket = Bucket(DATASET)
    for key in ("a", "c", "e"):
        bucket.put(key, b"x")
    bucket.delete_all(["a", "b", "c", "d", "e"])
    assert not google.objects
