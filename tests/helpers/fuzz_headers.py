"""Coverage-guided fuzzing of everything that looks at a TIFF: header, IFDs, descriptions, planes, and the first pixels.

Whatever the bytes, `open_images` and the reader must give images, or one error of one line (InputError, LimitError) that names the file,
within LIMIT
seconds of CPU and MEMORY bytes. An input that runs a line of omezarr_proc/tiff after a line that it never came from before is kept and
mutated further. test_hostile.py runs this for a few seconds; at length, with each finding kept as a file:

    python tests/fuzz_headers.py --seconds 1200 --seed 7 --keep findings
"""

import faulthandler
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from types import CodeType, FrameType

import fuzz_seeds
from fuzz_mutation import Mutator
from fuzzing import limit_memory, options

import omezarr_proc
from omezarr_proc.model.errors import InputError, LimitError
from omezarr_proc.model.image import Rect
from omezarr_proc.tiff.describe import images as tiff
from omezarr_proc.tiff.read.reader import Reader

LIMIT = 2.0  # seconds of CPU for one input
MEMORY = 512 << 20  # bytes that one input may take, beside what the process has at its start
TARGET = os.path.join(os.path.dirname(omezarr_proc.__file__), "tiff") + os.sep


class OvertimeError(BaseException):
    """An input took longer than LIMIT; not an Exception, so that nothing takes it for a decoder's."""


class Coverage:
    """Which steps from line to line the target's code has taken."""

    def __init__(self) -> None:
        self.seen: set[tuple[CodeType, int, int]] = set()
        self.new = False

    @property
    def lines(self) -> int:
        return len({(code.co_filename, line) for code, _, line in self.seen})

    def __enter__(self) -> None:
        self.new = False
        self._outer = sys.gettrace()  # that of `make coverage`, which would count nothing more without it
        sys.settrace(self._call)

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._outer)

    def _call(self, frame: FrameType, event: str, argument: object):
        if not frame.f_code.co_filename.startswith(TARGET):
            return None
        last, code = 0, frame.f_code

        def step(frame: FrameType, event: str, argument: object):
            nonlocal last
            if event == "line":
                edge, last = (code, last, frame.f_lineno), frame.f_lineno
                if edge not in self.seen:
                    self.seen.add(edge)
                    self.new = True
            return step

        return step


def consume(path: str, fill: str, reduced_by: int) -> None:
    """Open a file as the converter does, and read a corner of its first planes in every way."""
    for image in tiff.open_images(path, images="all", on_missing=fill, reduced_by=reduced_by)[:3]:
        assert {os.path.dirname(file) for file in image.files} == {os.path.dirname(path)}
        reader = Reader(image)
        try:
            for plane in [plane for plane in image.planes[:3] if plane is not None]:
                layout = image.layouts[plane.layout]
                if layout.segment_bytes > 1 << 24:
                    continue
                for access in ["segment", *(["rows"] if layout.raw else []), *(["stream"] if layout.stream else [])]:
                    for _, _, block in reader.read(plane, Rect(0, min(layout.height, 40), 0, min(layout.width, 40)), access):
                        assert block.dtype == layout.dtype
                if layout.spool and layout.height * layout.width * layout.samples < 1 << 16:
                    with tempfile.TemporaryFile() as file:
                        reader.spool(plane, file.fileno(), 0)
        finally:
            reader.close()


def judged(path: str, fill: str, reduced_by: int) -> bool:
    """Whether the file was refused. Raises what is a finding."""
    signal.setitimer(signal.ITIMER_PROF, LIMIT, LIMIT)  # again, since what is raised in a destructor is lost
    try:
        consume(path, fill, reduced_by)
    except (InputError, LimitError) as error:
        message = str(error)
        assert "\n" not in message, f"more than one line: {message!r}"
        assert os.path.dirname(path) in message, f"no file named: {message}"
        assert "does not fit into the memory" not in message, message
        return True
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return False


def fuzz(seconds: float, seed: int, keep: Path | None, more: Path | None) -> int:
    """Fuzz for so long; prints the figures and returns the number of different findings."""
    chance = random.Random(seed)
    mutate, coverage = Mutator(chance), Coverage()
    findings: dict[str, str] = {}
    inputs = refused = 0
    signal.signal(signal.SIGPROF, _overtime)
    with tempfile.TemporaryDirectory() as folder:
        corpus = fuzz_seeds.seeds(Path(folder))
        corpus += [path.read_bytes() for path in sorted(more.rglob("*.tif*")) if path.stat().st_size < 1 << 16] if more else []
        start, valid = len(corpus), list[bytes]()
        began = time.monotonic()
        while inputs < start or time.monotonic() - began < seconds:
            fresh = inputs < start
            parents = valid if chance.random() < 0.7 else corpus
            content = corpus[inputs] if fresh else mutate(chance.choice(parents), chance.choice(corpus))
            path = os.path.join(folder, chance.choice(["x.ome.tif", "x.tif", "x.ndpi"]))
            Path(path).write_bytes(content)
            options = path, chance.choice(["error", "fill"]), chance.choice([1, 1, 2])
            faulthandler.dump_traceback_later(60, exit=True)  # a decoder that hangs cannot be interrupted otherwise
            try:
                try:
                    with coverage:
                        refusal = judged(*options)
                except OvertimeError:  # tracing is slow
                    refusal = judged(*options)
                refused += refusal
                if not refusal and (fresh or coverage.new):
                    valid.append(content)
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    break
                frame = traceback.extract_tb(error.__traceback__)[-1]
                name = f"{type(error).__name__}-{os.path.basename(frame.filename)}-{frame.lineno}"
                findings.setdefault(name, f"{options[1:]} {error}")
                if keep:
                    keep.mkdir(parents=True, exist_ok=True)
                    if not (keep / name).exists():
                        (keep / name).write_bytes(content)
                        (keep / f"{name}.txt").write_text(f"{options}\n" + "".join(traceback.format_exception(error)))
            os.unlink(path)
            inputs += 1
            if coverage.new and not fresh and len(content) >= 16:
                corpus.append(content)
    faulthandler.cancel_dump_traceback_later()
    print(f"{inputs} inputs, {refused} refused, {len(corpus)} kept, {len(coverage.seen)} steps over {coverage.lines} lines covered")
    for where, what in findings.items():
        print(f"finding: {where}: {what[:300]}")
    return len(findings)


def _overtime(*_: object) -> None:
    raise OvertimeError(f"more than {LIMIT} s")


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--seeds", type=Path, help="folder with more TIFFs to begin with, those below 64 KiB")
    given = parser.parse_args()
    limit_memory(MEMORY)
    return min(fuzz(given.seconds, given.seed, given.keep, given.seeds), 1)


if __name__ == "__main__":
    sys.exit(main())
