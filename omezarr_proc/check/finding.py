"""What is wrong with a dataset: which rule is broken, where and how, and what to do."""

import sys
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["spec", "viewers", "data"]


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be.

    kind   "spec": a rule of NGFF or Zarr; "data": of chunks and pixels; every image must keep both. "viewers": what web viewers need beyond
           them, and what this program promises of its own datasets: of these it is an error, of datasets by others a note
    where  the place in the dataset: "ome.multiscales[0].axes", "1/c/0/2/5"
    rule   what is demanded, in words
    hint   what to do about it
    """

    kind: Kind
    where: str
    problem: str
    rule: str
    hint: str = "write the dataset anew"

    def is_error(self, ours: bool) -> bool:
        """Whether it makes the dataset wrong; `ours`: it was made by this program."""
        return ours or self.kind != "viewers"

    @property
    def text(self) -> str:
        """All of it in one line."""
        return f"{self.where}: {self.problem} ({self.rule}); {self.hint}"


def is_number(value: Any) -> bool:
    """Whether a JSON value is a finite number, in the range of 64-bit floats."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
