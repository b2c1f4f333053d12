"""The axes that tifffile writes into the description of a TIFF of its own kind, a JSON object with "shape" and "axes". Pure."""

import json
import math
from dataclasses import dataclass, field
from itertools import product

from omezarr_proc.model.image import AxisSize


@dataclass
class Axes:
    """Letters and lengths of the stored array, slowest first; `notes` say what was assumed; `steps` how far each goes, where stated."""

    letters: str
    shape: tuple[int, ...]
    notes: list[str] = field(default_factory=list)
    steps: dict[str, AxisSize] = field(default_factory=dict)

    def planes(self, height: int, width: int, samples: int) -> int | None:
        """How many planes [height, width, samples] there are; None where the shape does not end in those."""
        tail = self._tail(samples)
        if tail is None or self.shape[len(self.shape) - tail : len(self.shape) - tail + 2] != (height, width):
            return None
        return math.prod(self.shape[: len(self.shape) - tail])

    def crossed(self, height: int, width: int, samples: int, planes: int | None) -> bool:
        """Whether the array fills `planes` pages [height, width, samples] (None: any number), but has its Y and X elsewhere."""
        number, rest = divmod(math.prod(self.shape), height * width * samples)
        return {"Y", "X"} <= set(self.letters) and self._tail(samples) is None and not rest and planes in (None, number)

    def sizes(self, samples: int) -> tuple[tuple[int, int, int], list[int]]:
        """(t, c, z), with c counted in samples, and the order in which the stored planes go into (t, z, channel group)."""
        leading = self.letters[: len(self.letters) - (self._tail(samples) or 0)]
        lengths = self.shape[: len(leading)]
        strides = [math.prod(lengths[index + 1 :]) for index in range(len(leading))]
        axes: dict[str, list[int]] = {"T": [], "Z": [], "C": []}
        for index, letter in enumerate(leading):
            axes["C" if letter in "CS" else "T" if letter == "T" else "Z"].append(index)
        offsets = {
            letter: [
                sum(n * strides[i] for n, i in zip(where, indices, strict=True)) for where in product(*(range(lengths[i]) for i in indices))
            ]
            for letter, indices in axes.items()
        }
        order = [t + z + c for t in offsets["T"] for z in offsets["Z"] for c in offsets["C"]]
        return (len(offsets["T"]), len(offsets["C"]) * samples, len(offsets["Z"])), order

    def _tail(self, samples: int) -> int | None:
        """How many of the axes lie inside a plane: Y, X and interleaved samples."""
        if self.letters.endswith(("YXS", "YXC")) and samples > 1:
            return 3 if self.shape[-1] == samples else None
        return 2 if self.letters.endswith("YX") and samples == 1 else None


def parse(text: str) -> Axes | None:
    """The axes of a description; None where it is no such object or its axes say nothing."""
    if not text.startswith("{") or '"shape"' not in text or len(text) > 1 << 20:
        return None
    try:
        values = json.loads(text)
        shape, letters = tuple(int(n) for n in values["shape"]), str(values["axes"]).upper()
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not letters.isascii() or len(shape) != len(letters) or len(set(letters)) != len(letters) or min(shape, default=0) < 1:
        return None
    kept = [index for index, length in enumerate(shape) if length > 1 or letters[index] in "YX"]
    letters, shape = "".join(letters[index] for index in kept), tuple(shape[index] for index in kept)
    unknown = "".join(letter for letter in letters if letter not in "TCZYXS")
    notes = [f"the axes {unknown} are laid along z"] if unknown else []
    if "XY" in letters:
        letters = letters.replace("XY", "YX")
        notes.append("rows and columns stay as they are stored, though its axes call them x and y")
    return Axes(letters, shape, notes)
