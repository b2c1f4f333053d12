"""A small file written at once."""

import os
import secrets
from pathlib import Path


def write_whole(path: Path, data: bytes | bytearray | memoryview) -> None:
    """Write a file so that who reads it finds the old one or the new one, never a part. Raises OSError."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        partial.write_bytes(data)
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
