"""A well plate as plain values: which wells there are, and which image is which field of one."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Acquisition:
    """One run of the microscope over a plate. `number`: unique on the plate; `name` may be empty."""

    number: int
    name: str


@dataclass(frozen=True, kw_only=True)
class Plate:
    """A plate as its file describes it.

    number        of the plate in its file, from 0
    name          empty where the file gives none
    rows, columns  the name of each, letters and digits only, no two alike
    """

    number: int
    name: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    acquisitions: tuple[Acquisition, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Field:
    """The place of an image on a plate.

    row, column  of its well, from 0
    order        where it comes among the fields of its well
    acquisition  the number of its acquisition; None where the file names none
    """

    plate: Plate
    row: int
    column: int
    order: int
    acquisition: int | None = None

    @property
    def well(self) -> str:
        """The path of its well in the plate: `B/3`."""
        return f"{self.plate.rows[self.row]}/{self.plate.columns[self.column]}"


def letters(index: int) -> str:
    """The name of row `index` as plates have it: A to Z, then AA, AB and so on."""
    name = ""
    while index >= 0:
        index, letter = divmod(index, 26)
        name, index = chr(ord("A") + letter) + name, index - 1
    return name
