"""Tokens: kept so that nothing shows them, and masked wherever they turn up in a text."""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from omezarr_proc.model.errors import ProcError

MASK = "***"
VARIABLES = ("SESSION_TOKEN", "REFRESH_TOKEN")  # where tokens are in the environment
SHORTEST = 4  # characters; nothing shorter is a secret, and masking "a" would leave no message readable
CERTAIN = 8  # characters from which on a text that holds a token does not do so by chance


class Secret:
    """A token. Only `reveal` gives it away: str, repr, format and pickles (so: other processes) hold `***`; json refuses it."""

    __slots__ = ("_value",)

    def __init__(self, value: str = "") -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the token itself."""
        return self._value

    def __str__(self) -> str:
        return MASK if self._value else ""

    def __repr__(self) -> str:
        return f"Secret({str(self)!r})"

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> tuple[type["Secret"], tuple[str]]:
        return Secret, (str(self),)

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: object) -> "Secret":
        return self


class Mask:
    """Replaces every occurrence of a token, also as repr and JSON would write it.

    A token of less than CERTAIN characters is replaced where it is a whole word, one of less than SHORTEST is none.
    """

    def __init__(self, tokens: Iterable[str]) -> None:
        known = [token for token in tokens if len(token) >= SHORTEST]
        forms = {form: len(token) for token in known for form in (token, repr(token)[1:-1], json.dumps(token)[1:-1])}
        longest_first = sorted(forms, key=len, reverse=True)  # a token can be part of another
        patterns = [re.escape(form) if forms[form] >= CERTAIN else rf"(?<!\w){re.escape(form)}(?!\w)" for form in longest_first]
        self._pattern = re.compile("|".join(patterns)) if patterns else None

    def __call__(self, text: str) -> str:
        """Return the text without tokens."""
        return self._pattern.sub(MASK, text) if self._pattern else text

    def values(self, value: object) -> Any:
        """Make a JSON value of what was given, without tokens at any depth."""
        if isinstance(value, Mapping):
            return {self(str(key)): self.values(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.values(item) for item in value]
        return value if isinstance(value, bool | int | float | None) else self(str(value))

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Within, a ProcError leaves without tokens: a folder or a file can be named like one."""
        try:
            yield
        except ProcError as error:
            error.message, error.hint = self(error.message), self(error.hint)
            error.source, error.input = (None if file is None else self(file) for file in (error.source, error.input))
            error.args = (error.message,)
            raise error from None


def forget_environment() -> None:
    """Take the tokens out of this process's environment, also out of the text that /proc/PID/environ and a core dump show of it."""
    for name in VARIABLES:
        if os.environ.get(name):
            import ctypes

            getenv = ctypes.CDLL(None).getenv
            getenv.restype = ctypes.c_void_p
            if address := getenv(name.encode()):
                ctypes.memset(address, 0, len(ctypes.string_at(address)))
            del os.environ[name]


def leave_no_core() -> None:
    """Let neither this process nor those that it starts leave a core dump: whoever reads it would find the tokens."""
    import resource

    with suppress(OSError, ValueError):  # a lower limit is there already
        resource.setrlimit(resource.RLIMIT_CORE, (1, 1))  # 0 would still let a dump be piped to a program (kernel, do_coredump)
