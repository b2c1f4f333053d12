"""Names, numbers and times as people read them, on one line."""

import os


def shown(path: str | os.PathLike[str]) -> str:
    """Return a path as one printable line: itself where it is one, else quoted with escapes (line breaks, undecodable bytes, ...)."""
    text = os.fspath(path)
    return text if text.isprintable() and text.strip() == text else repr(text)


def one_line(text: str) -> str:
    """Escape what would break the line or steer the terminal: names and texts come out of other people's files."""
    return text if text.isprintable() else "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def counted(number: int, what: str) -> str:
    """Write a number of things: `1 level`, `3 levels`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def quantity(number: float, unit: str) -> str:
    """Write a number with a decimal prefix: `2400000000, "px"` -> `2.4 Gpx`."""
    power = next((power for power in range(4) if number < 999.5 * 1000**power), 4)
    return f"{number / 1000**power:.3g} {('', 'k', 'M', 'G', 'T')[power]}{unit}"


def byte_size(number: int) -> str:
    """Write a number of bytes in decimal units."""
    return quantity(number, "B")


def duration(seconds: float) -> str:
    """Write seconds: `3725` -> `1:02:05`, `65` -> `1:05`, below a minute `12.3 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def first_line(error: BaseException) -> str:
    """The first line of what a library says, never empty."""
    return (str(error).splitlines() or [type(error).__name__])[0][:160]
