"""What the fuzzers share as programs: their options, and the memory they may take."""

import argparse
import resource
from pathlib import Path


def options(description: str | None) -> argparse.ArgumentParser:
    """The options of every fuzzer."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for inputs that are findings")
    return parser


def limit_memory(more: int) -> None:
    """Let this process take `more` bytes beyond what it has."""
    with open("/proc/self/statm") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + more, resource.RLIM_INFINITY))
