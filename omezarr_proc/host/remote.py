"""Object stores as this machine reaches them: a client for an address, with the credentials that there are, and what its errors mean.

obstore finds credentials by itself: plain variables, a container's endpoint, web identity, instance metadata, Lambda's variables.
Nothing that a server answers is ever repeated but its error code: an answer can hold what was signed.

A process must not be forked once it has made a request: the client's threads are not there in the child, which then waits for ever.
Importing obstore and making a client is safe.
"""

import errno
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

from omezarr_proc.host.background import Background
from omezarr_proc.model.address import READABLE, STORES, Address, Place, is_address
from omezarr_proc.model.errors import OutputError, SettingsError, StoreUnavailableError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

T = TypeVar("T")

# Seconds between two tries: the first, each further one twice as long, up to the last.
_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
_CLIENT = {"timeout": timedelta(seconds=120), "connect_timeout": timedelta(seconds=5), "read_timeout": timedelta(seconds=30)}
_GIVES_CREDENTIALS = re.compile(r"https?://(169\.254\.|\[fd00:|metadata\.|sts\.|oauth2\.|login\.|localhost:\d+/metadata)|.*/v2/credentials")


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a request that fails is made again: so many `times` by the client itself, for so many `seconds` at most.

    Where a connection breaks off in an answer, or before one to a POST, `ask` makes it again: every request here bears being made twice.
    """

    times: int = 60
    seconds: float = 90.0


_ONCE = Patience(times=0)
_patience = [Patience()]  # the last one counts


@contextmanager
def patient_as(patience: Patience) -> Iterator[None]:
    """Within, this process, and the workers that are forked from it, ask stores again as this says."""
    _patience.append(patience)
    try:
        yield
    finally:
        _patience.remove(patience)


def require(place: Place) -> None:
    """Raise SettingsError where a place is an address, and what reaches it is not installed."""
    if isinstance(place, Address) and find_spec("obstore") is None:
        raise _not_installed(place)


def _not_installed(address: Address) -> SettingsError:
    return SettingsError(f"{address}: object stores need the package obstore, which is not installed: pip install 'omezarr-proc[remote]'")


def client(root: Address, *, patient: bool = True) -> "ObjectStore":
    """The client of a bucket, container or host; without `patient` it asks once. Raises SettingsError where there is none for it."""
    return client_of(root, _patience[-1] if patient else _ONCE)


@lru_cache(maxsize=64)
def client_of(root: Address, patience: Patience) -> "ObjectStore":
    """The same, made once with the variables that there are then."""
    try:
        from obstore.store import AzureStore, GCSStore, HTTPStore, S3Store
    except ImportError:
        raise _not_installed(root) from None
    kinds: dict[str, Any] = {"s3": S3Store, "gs": GCSStore, "az": AzureStore, "https": HTTPStore, "http": HTTPStore}
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    servers = {"s3": endpoint, "gs": os.environ.get("GOOGLE_BASE_URL"), "az": os.environ.get("AZURE_STORAGE_ENDPOINT"), "http": "http://"}
    plain = (servers.get(root.scheme) or "").startswith("http://")
    backoff = {"init_backoff": timedelta(seconds=_PAUSE), "max_backoff": timedelta(seconds=_LONGEST_PAUSE), "base": 2}
    retries = {"max_retries": patience.times, "retry_timeout": timedelta(seconds=patience.seconds), "backoff": backoff}
    options: dict[str, Any] = {"client_options": _CLIENT | ({"allow_http": True} if plain else {}), "retry_config": retries}
    if root.scheme == "s3" and endpoint:
        options["endpoint"] = endpoint
    if root.scheme == "s3" and os.environ.get("AWS_PROFILE") and not os.environ.get("AWS_ACCESS_KEY_ID"):
        options["credential_provider"] = _profile()
    try:
        found: ObjectStore = kinds[root.scheme].from_url(str(root), **options)
    except KeyError:
        raise SettingsError(f"{root}: there are {', '.join(f'{scheme}://' for scheme in READABLE)}") from None
    except Exception as error:
        raise SettingsError(f"{root}: {_first_words(error)}") from None
    return found


def ask(address: Address, work: Callable[[], T]) -> T:
    """Do a request about `address`.

    Raises OSError that says what is wrong and what to do, and ConditionError where the condition of the request does not hold.
    """
    from obstore.exceptions import AlreadyExistsError, BaseError, NotModifiedError, PreconditionError

    pause, give_up = _PAUSE, time.monotonic() + _patience[-1].seconds
    while True:
        try:
            return _hearing_signals(work)
        except (AlreadyExistsError, NotModifiedError, PreconditionError):
            raise ConditionError(str(address)) from None
        except (BaseError, OSError) as error:
            failure = _failure(address, error)
            if failure.errno != errno.EPIPE or time.monotonic() > give_up:
                raise failure from None
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def _hearing_signals(work: Callable[[], T]) -> T:
    """Do it in a thread where this one is to hear of signals: until a request ends, and the tries after it, the client is deaf to them."""
    if threading.current_thread() is not threading.main_thread():
        return work()
    found: list[T] = []
    background = Background("request", lambda: found.append(work()))
    background.wait()
    background.check()
    return found[0]


# Faults of a store that pass.
PASSING = {errno.EBUSY, errno.EPROTO, errno.EHOSTUNREACH, errno.EPIPE}


class ConditionError(Exception):
    """The condition of a request does not hold: the object is not the one that it should be."""


def listed(address: Address) -> tuple[list[Address], list[tuple[str, int]]]:
    """What lies directly below an address: the prefixes, and each object's name with its size. Raises OSError."""
    import obstore

    refuse_unlistable(address)
    prefix = f"{address.key}/" if address.key else None
    found = ask(address, lambda: obstore.list_with_delimiter(client(address.root), prefix))
    folders = [address.root / folder for folder in found["common_prefixes"]]
    return folders, [(Address(f"{address.root}/{entry['path']}").name, entry["size"]) for entry in found["objects"]]


def refuse_unlistable(address: Address) -> None:
    """Raise OSError where it is not known how to list what lies there."""
    if address.scheme not in STORES:
        raise OSError(errno.EOPNOTSUPP, "what lies on a web server cannot be listed", str(address))


def exists(address: Address) -> bool:
    """Whether there is an object. Raises OSError where that cannot be found out."""
    import obstore

    try:
        ask(address, lambda: obstore.head(client(address.root), address.key))
    except FileNotFoundError:
        return False
    return True


def reach(address: Address) -> None:
    """Ask once for something there, for somebody who waits. Raises StoreUnavailableError where nobody answers."""
    import obstore
    from obstore.exceptions import BaseError

    try:
        obstore.head(client(address.root, patient=False), address.key or "zarr.json")
    except (BaseError, OSError) as error:
        if _failure(address, error).errno in PASSING:
            raise StoreUnavailableError("does not answer: check its address and the network", source=address) from None


def store_error(what: str, error: OSError, source: str | os.PathLike[str]) -> OutputError:
    """The error about `source` when what failed to be done there failed with `error`, which `ask` has raised."""
    kind = StoreUnavailableError if error.errno in PASSING else OutputError
    return kind(f"{what}: {error.strerror or error}", source=source)


def refuse_silence(error: Exception) -> None:
    """Raise StoreUnavailableError where `error` is of a store that does not answer: nothing is known of what lies there then."""
    if isinstance(error, OSError) and error.errno in PASSING and isinstance(error.filename, str) and is_address(error.filename):
        raise store_error("cannot be read", error, error.filename) from error


def _failure(address: Address, error: Exception) -> OSError:
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


def _profile() -> Any:
    try:
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError:
        raise SettingsError("AWS_PROFILE is set, but profiles need the package boto3, which is not installed: pip install boto3") from None
    return Boto3CredentialProvider()


def _first_words(error: Exception) -> str:
    """What is wrong with an address or a variable, without the details, which can hold its value."""
    words = str(error).partition("\n")[0].rpartition("error: ")[2][:80]
    if words.startswith("Account must"):
        return "the storage account is not named: set AZURE_STORAGE_ACCOUNT_NAME"
    return words.partition(": Invalid")[0] or type(error).__name__


def walk(address: Address, enter: Callable[[str], bool]) -> Iterator[tuple[Address, str]]:
    """All objects below an address, with their keys from there; of folders only those whose name is to be entered. Raises OSError."""
    folders = [address]
    while folders:
        folder = folders.pop()
        inner, names = listed(folder)
        folders += [found for found in sorted(inner, reverse=True) if enter(found.name)]
        for name, _ in sorted(names):
            found = folder / name
            yield found, found.removeprefix(address).lstrip("/")
