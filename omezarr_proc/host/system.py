"""Which operating systems conversions run on: those with POSIX locks and processes."""

from omezarr_proc.model.errors import SettingsError


def check_system() -> None:
    """Raise SettingsError on Windows, whose Python has no locks of POSIX: before anything is imported that needs them."""
    try:
        import fcntl  # noqa: F401
    except ImportError:
        raise SettingsError(
            "this Python has no POSIX locks, as on Windows: conversions run on Linux and macOS; on Windows use WSL 2 or the container image"
        ) from None
