"""The last words of a run whose storage does not let it end: one line of the log's own form, with whose run it was."""

import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
from runs import ROOT

# The run is stopped by SIGTERM while it looks for its inputs, and its way out is stuck.
STUCK = """
import os, signal, sys, time
from omezarr_proc import cli
from omezarr_proc.app import stop
stop.STOP_SECONDS = 0.05
def convert_inputs(*_):
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)
    finally:
        time.sleep(30)
cli.convert_inputs = convert_inputs
sys.exit(cli.main())
"""
TOKEN = "s3cr3t"


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_way_out_that_is_stuck_is_cut_short_and_says_whose_run_it_was(tmp_path: Path, form: str) -> None:
    ids = {"EXECUTION_RUN_ID": "run-7", "COMPUTE_NODE_ID": f"node-{TOKEN}", "SESSION_TOKEN": TOKEN}
    command = [sys.executable, "-c", STUCK, "--log-format", form, "--output-dir", str(tmp_path), "a.tif"]
    done = subprocess.run(command, env=os.environ | ids, cwd=ROOT, capture_output=True, text=True, timeout=20)
    assert done.returncode == 143, done.stderr
    last = done.stderr.splitlines()[-1]
    text = "stopped by SIGTERM; storage does not answer, so the end is not on record"
    if form == "text":
        assert last == f"omezarr-proc: {text}"
        return
    line = json.loads(last)
    assert datetime.fromisoformat(line.pop("time")).tzinfo
    assert line == {"level": "ERROR", "event": "error", "message": text, "executionRunId": "run-7", "computeNodeId": "node-***",
                    "code": "terminated", "status": 143}  # fmt: skip
