# ruff: noqa: F811  # fixtures by their names
"""What the client of an object store takes in a worker, measured, against what the plan counts for it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from objectserver import object_server, store  # noqa: F401  # fixtures

from omezarr_proc.model.shards import BAND_BYTES
from omezarr_proc.plan.kept import QUEUE_BYTES
from omezarr_proc.plan.memory import AHEAD_BYTES, CLIENT_BYTES, STORE_BYTES

# A process as a worker is, which prints by how many bytes its private memory has grown at most.
MEASURING = """
import os, re, sys, threading
from concurrent.futures import ThreadPoolExecutor
import omezarr_proc.engine.local.worker, omezarr_proc.work.bench
from omezarr_proc.model.address import Address
from omezarr_proc.store.remote import Bucket
from omezarr_proc.tiff.file.remote import RemoteFile

def private():
    text = open("/proc/self/smaps_rollup").read()
    return sum(int(kilobytes) << 10 for kilobytes in re.findall("Private_(?:Clean|Dirty): *([0-9]+)", text))

before, most, ended = private(), [0], threading.Event()
def watch():
    while not ended.wait(0.01):
        most[0] = max(most[0], private() - before)
threading.Thread(target=watch, daemon=True).start()
way, address, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
if way == "read":
    file = RemoteFile(address)
    for begin in range(0, file.size, 8 << 20):
        file.ahead([(begin, 8 << 20)])
        for at in range(begin, min(begin + (8 << 20), file.size), 1 << 18):
            file.read([(at, 1 << 18)])
elif way == "shards":  # which wait in their slots, and are joined one at a time
    pieces = [os.urandom(size // 64)] * 64
    for number in range(6):
        Bucket(Address(address)).put(str(number), pieces)
else:
    bucket, data = Bucket(Address(address)), os.urandom(400_000)
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda number: bucket.put(str(number), data), range(200)))
ended.set()
print(most[0])
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/smaps_rollup"), reason="needs Linux")
@pytest.mark.parametrize(
    ("way", "planned"), [("read", CLIENT_BYTES + AHEAD_BYTES), ("write", STORE_BYTES), ("shards", STORE_BYTES + QUEUE_BYTES)]
)
def test_the_client_takes_no_more_than_the_plan_counts(store, tmp_path: Path, way: str, planned: int) -> None:
    (tmp_path / "x.tif").write_bytes(os.urandom(48 << 20))
    address = store(tmp_path / "x.tif") if way == "read" else f"{store.address}/out"
    store.proxy.latency = 0.05  # so that as many requests are under way as may be
    command = [sys.executable, "-c", MEASURING, way, address, str(BAND_BYTES)]
    measured = int(subprocess.run(command, env=os.environ | store.environ, capture_output=True, text=True, check=True).stdout)
    assert planned // 8 < measured <= planned
