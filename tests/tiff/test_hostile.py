"""Hostile files: the fuzzer (fuzz_headers.py) for a few seconds with a fixed seed, and what it has found.

OMEZARR_FUZZ_SECONDS runs it longer.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import fuzz_headers
import fuzz_mutation
import fuzz_seeds
import pytest
from reading import refusal
from tiffs import build, grey, save

SECONDS = os.environ.get("OMEZARR_FUZZ_SECONDS", "6")


def test_whatever_the_bytes_a_file_is_read_or_refused(tmp_path):
    program = Path(fuzz_headers.__file__)
    command = [sys.executable, program, "--seconds", SECONDS, "--keep", tmp_path / "findings"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    print(run.stdout)
    assert run.returncode == 0, run.stdout + run.stderr[-3000:]
    inputs, refused, _, steps, _ = map(int, re.findall(r"\d+", run.stdout)[:5])
    assert inputs > 100
    assert 0 < refused < inputs
    assert steps > 800


def test_the_fuzzer_begins_with_files_that_are_read(tmp_path):
    seeds = fuzz_seeds.seeds(tmp_path)
    for number, content in enumerate(seeds):
        (tmp_path / "set1.ome.tif").write_bytes(content)
        fuzz_headers.consume(str(tmp_path / "set1.ome.tif"), "fill", 1)
        assert fuzz_mutation.entries(content), number


def test_the_fuzzer_finds_what_is_wrong(tmp_path, monkeypatch, capfd):
    def wrong(path, fill, reduced_by):
        if b"ImageJ" in Path(path).read_bytes():
            raise KeyError("planted")
        if b"Aperio" in Path(path).read_bytes():
            while True:
                pass

    monkeypatch.setattr(fuzz_headers, "consume", wrong)
    monkeypatch.setattr(fuzz_headers, "LIMIT", 0.1)
    assert fuzz_headers.fuzz(0.1, 0, tmp_path, None) == 2
    said = capfd.readouterr().out
    assert "finding: KeyError-test_hostile.py" in said
    assert "OvertimeError" in said
    assert any(b"ImageJ" in path.read_bytes() for path in tmp_path.iterdir())


@pytest.mark.parametrize(
    ("starts", "reason"),
    [
        ({"t65426": (4, [1 << 31, 0])}, "has a header of 2147483648 bytes"),
        ({"t65426": (4, [9, 19]), "t65432": (4, [1 << 30, 0])}, "has a header of"),
        ({"t65426": (4, [9, 19]), "t65432": (5, b"\xff" * 16)}, "no list of integers"),
        ({"t65426": (4, [9])}, "no list of integers"),
        ({"t65426": (11, [1e18, 0])}, "no list of integers"),
    ],
)
def test_a_jpeg_header_of_gigabytes_is_not_read(tmp_path, starts, reason):
    page = grey(bytes(12), 4, 3, t271=(2, b"Hamamatsu\0"), t65420=(4, [1]), **starts)
    assert reason in refusal(save(tmp_path / "x.tif", build([page])))


def test_a_page_without_segments(tmp_path):
    page = grey(bytes(12), 4, 3, t273="absent", t279="absent")
    assert "has 0 of 1 segments" in refusal(save(tmp_path / "x.tif", build([page])))


@pytest.mark.parametrize("code", [256, 257])
def test_sizes_that_are_no_integers(tmp_path, code):
    page = grey(bytes(12), 4, 3, **{f"t{code}": (11, [3.0])})
    assert "no integers" in refusal(save(tmp_path / "x.tif", build([page])))
