"""call.py SCANS PYRAMIDS: converts from Python, with progress, and says what became of each image."""

import sys

from omezarr_proc import convert


def main(scans: str, pyramids: str) -> int:
    """Convert; returns how many images failed."""
    outcomes = convert(scans, pyramids, initial_downsample=1, progress=show)
    print()
    for image in outcomes:
        if image.error:
            print(image.error)
        else:
            print(f"{image.source} -> {image.dataset}: {image.status}")
    return sum(image.error is not None for image in outcomes)


def show(source: str, done: int, total: int) -> None:
    """One line that is written over and over."""
    print(f"\r{source}: {100 * done // total:3d} %", end="", flush=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
