"""The page's decoders against the libraries that encode (numcodecs). Needs Node and viewer/node_modules, else it skips."""

import itertools
import json
import os
import shutil
import subprocess
from pathlib import Path

import numcodecs
import numpy as np
import pytest

VIEWER = Path(__file__).parents[2] / "viewer"
SCRIPT = """
import { readFileSync } from "node:fs";
import { chain, decode } from "%s/src/zarr/codecs.js";
const wrong = [];
const cases = JSON.parse(readFileSync("cases.json"));
for (const [i, { name, codecs, dtype, length }] of cases.entries()) {
  try {
    const found = await decode(new Uint8Array(readFileSync(`${i}.stored`)), chain(codecs, dtype), [length]);
    if (Buffer.compare(Buffer.from(found.buffer, found.byteOffset, found.byteLength), readFileSync(`${i}.pixels`))) wrong.push(name);
  } catch (error) {
    wrong.push(`${name}: ${error.message}`);
  }
}
console.log(JSON.stringify(wrong));
"""


@pytest.fixture
def node() -> str:
    found = shutil.which("node")
    if found and (VIEWER / "node_modules" / "fzstd").is_dir():
        return found
    if os.environ.get("BROWSER_TESTS"):
        pytest.fail("Node and viewer/node_modules must be there: make viewer")
    pytest.skip("Node or viewer/node_modules is not there: make viewer")


def test_every_codec_decodes_what_its_library_has_encoded(node: str, tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    cases = []

    def add(name: str, codecs: list[str], stored: bytes, pixels: np.ndarray) -> None:
        (tmp_path / f"{len(cases)}.stored").write_bytes(stored)
        (tmp_path / f"{len(cases)}.pixels").write_bytes(pixels.tobytes())
        steps = [{"name": codec, "configuration": {"endian": "little"}} for codec in ("bytes", *codecs)]
        cases.append({"name": name, "codecs": steps, "dtype": pixels.dtype.name, "length": len(pixels)})

    for cname, shuffle, dtype in itertools.product(("zstd", "lz4", "lz4hc", "zlib", "blosclz"), (0, 1, 2), ("uint8", "uint16", "float64")):
        for length, blocksize in ((1, 0), (100, 0), (1003, 0), (65536, 0), (65541, 4096), (200007, 0)):
            pixels = (random.poisson(20, length) + np.arange(length) // 7 % 50).astype(dtype)
            stored = numcodecs.Blosc(cname, 5, shuffle, blocksize).encode(pixels)
            add(f"{cname}, shuffle {shuffle}, {dtype}, {length} in blocks of {blocksize}", ["blosc"], stored, pixels)
    for name, values in {"constant": np.zeros(50000), "noise": random.integers(0, 65536, 50000), "ramp": np.arange(50000)}.items():
        pixels = values.astype(np.uint16)
        for codec in (numcodecs.Zstd(3), numcodecs.GZip(5), numcodecs.Zlib(5), numcodecs.LZ4(), numcodecs.Blosc("blosclz", 9)):
            add(f"{codec.codec_id} of {name}", [codec.codec_id], bytes(codec.encode(pixels)), pixels)
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    command = [node, "--no-warnings", "--input-type=module", "--eval", SCRIPT % VIEWER.as_uri()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
    assert len(cases) == 285


def test_a_damaged_chunk_is_an_error_and_no_hang(node: str, tmp_path: Path) -> None:
    pixels = np.arange(5000, dtype=np.uint16)
    cases = []
    for cname in ("zstd", "lz4", "blosclz", "zlib"):
        stored = bytearray(numcodecs.Blosc(cname, 5, 1).encode(pixels))
        for place in range(4, len(stored), max(1, len(stored) // 40)):
            for broken in (stored[:place], stored[:place] + bytes([stored[place] ^ 255]) + stored[place + 1 :]):
                (tmp_path / f"{len(cases)}.stored").write_bytes(broken)
                (tmp_path / f"{len(cases)}.pixels").write_bytes(b"")
                cases.append({"name": "", "codecs": [{"name": "bytes"}, {"name": "blosc"}], "dtype": "uint16", "length": len(pixels)})
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    command = [node, "--no-warnings", "--input-type=module", "--eval", SCRIPT % VIEWER.as_uri()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120)
    assert len(json.loads(done.stdout)) == len(cases) > 200  # wrong pixels or an error, each of them an answer
