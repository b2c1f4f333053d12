"""JPEG 2000 segments whose colours no tag tells."""

import imagecodecs
import numpy as np
from tiffs import build, grey, save

APERIO = {"t270": (2, b"Aperio Image Library v9\r\n48x32\0")}


def to_ycbcr(rgb, top=255):
    """By the definition, not by the code under test (ITU-T T.871)."""
    matrix = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
    return np.clip(np.rint(rgb @ matrix.T + [0, top // 2 + 1, top // 2 + 1]), 0, top).astype(rgb.dtype)


def colours(height=32, width=48):
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 5, y * 7, (x * 3 + y * 4) % 256], -1).astype(np.uint8)


def saved(path, stored, compression, mct=False, photometric=2, **more):
    data = imagecodecs.jpeg2k_encode(stored, codecformat="j2k", mct=mct, reversible=True, level=0)
    more = {"t530": (3, [1, 1]), **more} if photometric == 6 else more
    size = {"t277": (3, [3]), "t258": (3, [stored.itemsize * 8] * 3), "t262": (3, [photometric]), "t259": (3, [compression])}
    return save(path, build([grey(data, stored.shape[1], stored.shape[0], **size, **more)]))
