"""One of the parts that a batch is shared out to: `3/16`."""

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Part:
    """Part `number`, from 1, of `of` parts."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"
