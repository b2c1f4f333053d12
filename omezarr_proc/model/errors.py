"""What can go wrong, by who must act. Every message names the file or setting, what is wrong and what to do, in one line."""


class ProcError(Exception):
    """Base of all errors whose message is meant for the user as it stands."""


class SettingsError(ProcError):
    """One or more settings have wrong values (exit status 2)."""


class InputError(ProcError):
    """This input cannot be converted faithfully: corrupt, unsupported or incomplete."""


class LimitError(ProcError):
    """This input does not fit into the memory there is, or is beyond a ceiling of the settings; the message says which and what to do."""


class OutOfTimeError(ProcError):
    """The deadline is near; what is finished is recorded, and running again goes on from there."""


class OutputError(ProcError):
    """The output cannot be written: full, read-only, vanished, or another dataset is in the way."""
