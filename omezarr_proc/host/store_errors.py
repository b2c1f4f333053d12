"""What the errors of object stores mean for the person who must act.

Nothing that a server answers is ever repeated but its error code: an answer can hold what was signed.
"""

import errno
import os
import re

from omezarr_proc.model.address import Address, is_address
from omezarr_proc.model.errors import OutputError, StoreUnavailableError

_GIVES_CREDENTIALS = re.compile(r"https?://(169\.254\.|\[fd00:|metadata\.|sts\.|oauth2\.|login\.|localhost:\d+/metadata)|.*/v2/credentials")

# Of a store that does not answer, or only that it cannot.
SILENT = {errno.EPROTO, errno.EHOSTUNREACH, errno.EPIPE}
# Faults of a store that pass.
PASSING = {errno.EBUSY, *SILENT}


class ConditionError(Exception):
    """The condition of a request does not hold: the object is not the one that it should be."""


def meaning_of(address: Address, error: Exception) -> OSError:
    """What an error of the client means for the person who must act; EPIPE: the connection broke off in an answer."""
    text = str(error)
    asked = next(iter(re.findall(r"Error performing \w+ (\S+) in", text)), "")
    status = next(iter(re.findall(r"status code: (\d{3})", text)), "")
    code = next(iter(re.findall(r"<Code>(\w{1,60})</Code>", text)), "")
    said = code or (f"HTTP {status}" if status else type(error).__name__)
    if code == "NoSuchBucket":
        number, meaning = errno.ENODEV, "there is no such bucket: check its name, AWS_REGION and AWS_ENDPOINT_URL"
    elif isinstance(error, FileNotFoundError):
        number, meaning = errno.ENOENT, "there is no such object: check its name"
    elif code in ("ExpiredToken", "ExpiredTokenException", "RequestTimeTooSkewed"):
        number, meaning = errno.EACCES, f"the store denies it ({said}): get new credentials, and check this machine's clock"
    elif _GIVES_CREDENTIALS.match(asked) or (not asked and "redential" in text):
        number, meaning = errno.EACCES, "no credentials are found: give the task a role, or set the store's variables"
    elif status == "416":
        number, meaning = errno.ENODATA, "it ends before"
    elif status == "501":
        number, meaning = errno.ENOSYS, f"the store does not know such a request ({said})"
    elif status == "409":
        number, meaning = errno.EBUSY, "somebody else puts it at this moment: run again"
    elif status in ("401", "403"):
        number, meaning = errno.EACCES, f"the store denies it ({said}): check the credentials and their rights"
    elif "edirect" in text.replace(address.key, "") or code in (
        "AuthorizationHeaderMalformed",
        "PermanentRedirect",
        "IllegalLocationConstraintException",
    ):
        number, meaning = errno.EINVAL, "the bucket is in another region: set AWS_REGION to it"
    elif status:
        number, meaning = errno.EPROTO, f"the store answers with {said}: run again later"
    elif " retries, " in text.partition("Debug source")[0]:
        number, meaning = errno.EHOSTUNREACH, "the store does not answer: check the network and the endpoint, then run again"
    else:
        number, meaning = errno.EPIPE, "the connection breaks off again and again: check the network, then run again"
    return OSError(number, meaning, str(address))


def store_error(what: str, error: OSError, source: str | os.PathLike[str]) -> OutputError:
    """The error about `source` when what failed to be done there failed with `error`, which `ask` has raised."""
    kind = StoreUnavailableError if error.errno in PASSING else OutputError
    return kind(f"{what}: {error.strerror or error}", source=source)


def refuse_silence(error: Exception) -> None:
    """Raise StoreUnavailableError where `error` is of a store that does not answer: nothing is known of what lies there then."""
    if isinstance(error, OSError) and error.errno in PASSING and isinstance(error.filename, str) and is_address(error.filename):
        raise store_error("cannot be read", error, error.filename) from error
