"""Damaged segments of every codec: the fuzzer (fuzz_segments.py) for a few seconds with a fixed seed.

OMEZARR_FUZZ_SECONDS runs it longer.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import fuzz_segments
import numpy as np
import segment_mutation
import segment_seeds

from omezarr_proc.model.errors import InputError

SECONDS = os.environ.get("OMEZARR_FUZZ_SECONDS", "4")


def test_whatever_a_segment_holds_it_is_decoded_or_refused(tmp_path):
    program = Path(fuzz_segments.__file__)
    command = [sys.executable, program, "--seconds", SECONDS, "--keep", tmp_path / "findings"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    print(run.stdout)
    assert run.returncode == 0, run.stdout + run.stderr[-3000:]
    tallies = {name: list(map(int, re.findall(r"\d+", counts))) for name, counts in re.findall(r"^(\w+): (.*)$", run.stdout, re.MULTILINE)}
    assert tallies.keys() == set(segment_seeds.CODECS)
    assert all(refused for refused, _, _ in tallies.values()), "some codec's segments are never reached"


def test_the_fuzzer_begins_with_segments_that_are_whole(tmp_path):
    for seed in segment_seeds.seeds(tmp_path):
        path = str(tmp_path / "x.tif")
        Path(path).write_bytes(seed.content)
        whole = fuzz_segments.read(path)
        Path(path).write_bytes(seed.replaced(0, seed.segments[0]))
        assert np.array_equal(fuzz_segments.read(path), whole)
        assert len(segment_mutation.units(seed.segments[0], seed.codec)) > 1


def test_the_fuzzer_finds_what_is_wrong(tmp_path, monkeypatch, capfd):
    read = fuzz_segments.read

    def wrong(path):
        try:
            return read(path)
        except InputError as error:
            if "damaged" in str(error):  # as if nothing were said of it
                return np.zeros(1, np.uint8)
            if "corrupt" in str(error):
                raise KeyError("planted") from None
            raise

    monkeypatch.setattr(fuzz_segments, "read", wrong)
    assert fuzz_segments.fuzz(0, 0, tmp_path / "keep") >= 2
    said = capfd.readouterr().out
    assert "finding: jpeg-SilenceError-" in said
    assert "KeyError-test_segments.py" in said
    assert any((tmp_path / "keep").glob("jpeg-SilenceError-*.tif"))
