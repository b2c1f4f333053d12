"""One row of the table of settings, and how its values are written and complained about."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from omezarr_proc.config.part import PART
from omezarr_proc.config.rules import FILE, PLACE, TOKEN, Rule
from omezarr_proc.model.indices import Indices

SHOWN_LENGTH = 60  # characters of a wrong value that a message repeats


@dataclass(frozen=True)
class Entry:
    """One row of the table."""

    name: str
    default: Any
    rule: Rule
    help: str
    shapes_output: bool

    @property
    def variable(self) -> str:
        """The environment variable."""
        return self.name.upper()

    @property
    def flag(self) -> str:
        """The command-line flag."""
        return f"--{self.name.removeprefix('crop_').replace('_', '-')}"

    @property
    def environment_only(self) -> bool:
        """Whether it has no flag, since the platform gives it."""
        return self.help.startswith("given by the platform")

    @property
    def secret(self) -> bool:
        """Whether the value is a token."""
        return self.rule is TOKEN

    @property
    def default_text(self) -> str:
        """The default as one would write it; empty where there is none."""
        if self.rule in (FILE, PART, PLACE, TOKEN):
            return ""
        return text_of(self.default, self.rule)


def row(rule: Rule, help: str, shapes_output: bool = False) -> dict[str, Any]:
    """The metadata of a field of `Settings`, which make it a row."""
    return {"rule": rule, "help": help, "shapes_output": shapes_output}


def text_of(value: Any, rule: Rule) -> str:
    """A value of Python as the environment would have it. A truth value is one only where a flag is asked for."""
    if value is None:
        return ""
    if isinstance(value, Indices):
        return str(value)
    if isinstance(value, bool):
        return str(int(value)) if rule.switch else str(value)
    return ",".join(map(str, value)) if isinstance(value, list | tuple | range) else str(value)


def is_value(value: Any, rule: Rule) -> bool:
    """Whether `rule` makes this value of some text."""
    try:
        parsed = rule.parse(text_of(value, rule))
    except ValueError:
        return False
    return type(parsed) is type(value) and parsed == value


def shortened(text: str, form: Callable[[str], str] = repr) -> str:
    """A value as a message repeats it."""
    return form(text if len(text) <= SHOWN_LENGTH else text[:SHOWN_LENGTH] + "...")


def complaint(name: str, shown: str, rule: Rule, text: str) -> str:
    """What is wrong with the value `text` of a setting, which messages show as `shown`."""
    hint = rule.hint(text)
    return f"{name}={shown} must be {rule.text}{f' ({hint})' if hint else ''}"
