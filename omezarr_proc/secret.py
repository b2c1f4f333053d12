"""Tokens: kept so that nothing shows them, and masked wherever they turn up in a text."""

import json
from collections.abc import Iterable

MASK = "***"


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
    """Replaces every occurrence of a token, also as repr and JSON would write it."""

    def __init__(self, tokens: Iterable[str]) -> None:
        forms = {form for token in tokens if token for form in (token, repr(token)[1:-1], json.dumps(token)[1:-1])}
        self._forms = sorted(forms, key=len, reverse=True)  # a token can be part of another

    def __call__(self, text: str) -> str:
        """Return the text without tokens."""
        for form in self._forms:
            text = text.replace(form, MASK)
        return text
