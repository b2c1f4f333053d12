"""Fuzzing of encoded segments: streams of every codec, changed where their structure is, read as the converter reads them.

Whatever the bytes, every access gives pixels, the same by all of them, or one InputError of one line that names the file, within LIMIT
seconds of CPU and MEMORY bytes. Pixels that are not those of the whole segment are a finding where the codec can tell: when the segment was
cut short, when one with a checksum was damaged, and for JPEG when libtiff (tiffcp, where it is installed) warns. test_segments.py runs
this for a few seconds; at length, with each finding kept as a file:

    python tests/fuzz_segments.py --seconds 900 --seed 7 --keep findings

A decoder that crashes or hangs ends the program; what it was given is in that folder as last.tif.
"""

import collections
import faulthandler
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_headers import LIMIT, MEMORY, OvertimeError
from fuzzing import limit_memory, options
from numpy.typing import NDArray
from segment_mutation import Mutator
from segment_seeds import LIBTIFF, Seed, seeds

from omezarr_proc.model.errors import InputError
from omezarr_proc.model.image import Rect
from omezarr_proc.tiff.describe import images as tiff
from omezarr_proc.tiff.read.reader import Reader

LEAST = 20  # inputs of each codec, however slow the machine
CHECKED = {"deflate", "lzma", "png", "lerc"}  # with a checksum over all that makes pixels

Pixels = NDArray[Any]


class SilenceError(Exception):
    """Other pixels than those of the whole segment, and no error."""


def read(path: str) -> Pixels:
    """The pixels of a file's plane, by every access. Raises InputError as soon as one of them is refused."""
    (image,) = tiff.open_images(path)
    (plane,), layout = image.planes, image.layouts[0]
    assert plane
    found: list[Pixels] = []
    with closing(Reader(image)) as reader:
        for access in ["segment", *(["stream"] if layout.stream else [])]:
            out = np.zeros((layout.height, layout.width, layout.samples), layout.dtype)
            for y, x, block in reader.read(plane, Rect(0, layout.height, 0, layout.width), access):
                out[y : y + block.shape[0], x : x + block.shape[1]] = block
            found.append(out)
        if layout.spool:
            with tempfile.TemporaryFile() as file:
                reader.spool(plane, file.fileno(), 0)
                file.seek(0)
                found.append(np.frombuffer(file.read(), layout.dtype).reshape(found[0].shape))
    for other in found[1:]:
        assert np.array_equal(found[0], other), "not the same pixels by every access"
    return found[0]


def judge(path: str, seed: Seed, done: str, whole: Pixels) -> str:
    """What the reader makes of a file: "refused", "same" or "other". Raises what is a finding."""
    signal.setitimer(signal.ITIMER_PROF, LIMIT, LIMIT)  # again, since what is raised in a destructor is lost
    try:
        pixels = read(path)
    except InputError as error:
        message = str(error)
        assert "\n" not in message, f"more than one line: {message!r}"
        assert path in message, f"no file named: {message}"
        assert "does not fit into the memory" not in message, message
        return "refused"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    if np.array_equal(pixels, whole):
        return "same"
    if done == "cut" or (done == "plain" and seed.codec in CHECKED):
        raise SilenceError(f"{seed.codec}, {done}: {(pixels != whole).mean():.1%} of the values are others")
    if seed.codec == "jpeg" and LIBTIFF:
        run = subprocess.run([LIBTIFF, "-c", "none", path, path + ".copy"], capture_output=True, text=True, check=False)
        if run.stderr:
            raise SilenceError(f"jpeg: libtiff says {run.stderr[:200]!r}")
    return "other"


def fuzz(seconds: float, seed: int, keep: Path | None) -> int:
    """Fuzz for so long; prints the figures and returns the number of different findings."""
    chance = random.Random(seed)
    mutate = Mutator(chance)
    findings: dict[str, str] = {}
    tally: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    signal.signal(signal.SIGPROF, _overtime)
    with tempfile.TemporaryDirectory() as folder:
        path = str((keep or Path(folder)) / "last.tif")
        if keep:
            keep.mkdir(parents=True, exist_ok=True)
        wholes = []
        for origin in (corpus := seeds(Path(folder))):
            Path(path).write_bytes(origin.content)
            wholes.append(read(path))
        codecs = sorted({origin.codec for origin in corpus})
        began, inputs = time.monotonic(), 0
        while time.monotonic() - began < seconds or inputs < LEAST * len(codecs):
            codec = codecs[inputs % len(codecs)]
            number = chance.choice([number for number, origin in enumerate(corpus) if origin.codec == codec])
            origin, inputs = corpus[number], inputs + 1
            index = chance.randrange(len(origin.segments))
            other = chance.choice(chance.choice([seed for seed in corpus if seed.codec == codec]).segments)
            done, segment = mutate(origin.segments[index], other, codec)
            content = origin.replaced(index, segment)
            Path(path).write_bytes(content)
            faulthandler.dump_traceback_later(60, exit=True)  # a decoder that hangs cannot be interrupted otherwise
            try:
                tally[codec][judge(path, origin, done, wholes[number])] += 1
            except (Exception, OvertimeError) as error:
                frame = traceback.extract_tb(error.__traceback__)[-1]
                name = f"{codec}-{type(error).__name__}-{os.path.basename(frame.filename)}-{frame.lineno}"
                findings.setdefault(name, str(error))
                if keep and not (keep / f"{name}.tif").exists():
                    (keep / f"{name}.tif").write_bytes(content)
                    (keep / f"{name}.txt").write_text(f"{done}\n" + "".join(traceback.format_exception(error)))
    faulthandler.cancel_dump_traceback_later()
    print(f"{inputs} inputs")
    for codec, counts in sorted(tally.items()):
        print(f"{codec}: {', '.join(f'{counts[what]} {what}' for what in ('refused', 'same', 'other'))}")
    for where, what in findings.items():
        print(f"finding: {where}: {what[:300]}")
    return len(findings)


def _overtime(*_: object) -> None:
    raise OvertimeError(f"more than {LIMIT} s")


def main() -> int:
    given = options(__doc__).parse_args()
    limit_memory(MEMORY)
    return min(fuzz(given.seconds, given.seed, given.keep), 1)


if __name__ == "__main__":
    sys.exit(main())
