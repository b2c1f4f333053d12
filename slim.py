"""Remove from the Python that runs this, the image's, the codecs that no TIFF can ask for: half of what imagecodecs installs.

Its codecs are a shared object each, and load when they are asked for by name. So all that can be asked for are, and of the folders of
imagecodecs stays what the process has mapped then: these codecs and the libraries that they load. A new process shows that this was all.
"""

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import tifffile

import omezarr_proc

CODEC = re.compile(r"\b(?:[a-z0-9]+_(?:de|en)code|cms_[a-z]+)\b")


def sources() -> Iterator[str]:
    """The code that asks for codecs: tifffile, this package, and what stands behind `jpeg_decode`."""
    for package in (tifffile, omezarr_proc):
        assert package.__file__
        for path in Path(package.__file__).parent.rglob("*.py"):
            yield path.read_text()
    yield inspect.getsource(imagecodecs.jpeg_decode)


def load() -> set[str]:
    """Load whatever can be asked for, and return the names of those that are not to be had. Stubs stand for what is not installed."""
    names = {name for text in sources() for name in CODEC.findall(text)}
    found = {name: getattr(imagecodecs, name, None) for name in names}
    return {name for name, codec in found.items() if codec is None or "stub" in getattr(codec, "__qualname__", "")}


def slim() -> None:
    """Remove what is not mapped after `load`, and see that it loads as before."""
    absent = load()
    mapped = {Path(line.split()[-1]) for line in Path("/proc/self/maps").read_text().splitlines()}
    package = Path(imagecodecs.__path__[0])
    shared = [path for folder in (package, package.with_name("imagecodecs.libs")) for path in folder.glob("*.so*")]
    removed = [path for path in shared if path not in mapped]
    assert mapped & set(shared), "none of imagecodecs is mapped: its paths are not what they were"
    size = sum(path.stat().st_size for path in removed)
    for path in removed:
        path.unlink()
    check = f"import slim; assert slim.load() == {absent!r}"
    subprocess.run([sys.executable, "-B", "-c", check], check=True, cwd=Path(__file__).parent)
    print(f"{len(removed)} of {len(shared)} shared objects of imagecodecs removed, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    slim()
