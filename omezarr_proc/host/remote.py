"""Object stores as this machine reaches them: a client for an address, with the credentials that there are.

obstore finds credentials by itself: plain variables, a container's endpoint, web identity, instance metadata, Lambda's variables.

A process must not be forked once it has made a request: the client's threads are not there in the child, which then waits for ever.
Importing obstore and making a client is safe.
"""

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

from omezarr_proc.host.background import Background
from omezarr_proc.host.patience import BRIEFLY, Patience, give_up, has_answered, patience_with
from omezarr_proc.host.store_errors import PASSING, SILENT, ConditionError, meaning_of
from omezarr_proc.model.address import READABLE, STORES, Address, Place
from omezarr_proc.model.errors import SettingsError, StoreUnavailableError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

T = TypeVar("T")

# Seconds between two tries: the first, each further one by chance up to three times as long as the one before, up to the last.
_PAUSE, _LONGEST_PAUSE, _LONGER = 0.1, 5.0, 3
_CLIENT = {"timeout": timedelta(seconds=120), "connect_timeout": timedelta(seconds=5), "read_timeout": timedelta(seconds=30)}


def require(place: Place) -> None:
    """Raise SettingsError where a place is an address, and what reaches it is not installed."""
    if isinstance(place, Address) and find_spec("obstore") is None:
        raise _not_installed(place)


def _not_installed(address: Address) -> SettingsError:
    return SettingsError(f"{address}: object stores need the package obstore, which is not installed: pip install 'omezarr-proc[remote]'")


def client(root: Address, *, patient: bool = True) -> "ObjectStore":
    """The client of a bucket, container or host; without `patient` it asks for a moment.

    Raises SettingsError where there is none for it.
    """
    return client_of(root, patience_with(root) if patient else BRIEFLY)


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
    backoff = {"init_backoff": timedelta(seconds=_PAUSE), "max_backoff": timedelta(seconds=_LONGEST_PAUSE), "base": _LONGER}
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

    pause, until = _PAUSE, time.monotonic() + patience_with(address.root).seconds
    while True:
        try:
            found = _hearing_signals(work)
        except (AlreadyExistsError, NotModifiedError, PreconditionError):
            has_answered(address.root)
            raise ConditionError(str(address)) from None
        except (BaseError, OSError) as error:
            failure = meaning_of(address, error)
            if failure.errno not in SILENT:
                has_answered(address.root)
                raise failure from None
            if failure.errno != errno.EPIPE or time.monotonic() > until:
                give_up(address.root)
                raise failure from None
        else:
            has_answered(address.root)
            return found
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
    """Ask for something there, for a moment, since somebody waits. Raises StoreUnavailableError where nobody answers."""
    import obstore
    from obstore.exceptions import BaseError

    try:
        obstore.head(client(address.root, patient=False), address.key or "zarr.json")
    except (BaseError, OSError) as error:
        if meaning_of(address, error).errno in PASSING:
            raise StoreUnavailableError("does not answer: check its address and the network", source=address) from None


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
