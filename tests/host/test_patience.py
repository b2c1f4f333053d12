"""A store is waited for in vain once: then it is asked for a moment, until it answers."""

from collections.abc import Callable, Iterator

import pytest

from omezarr_proc.host import patience, remote
from omezarr_proc.host.patience import BRIEFLY, Patience, patience_with
from omezarr_proc.host.remote import ask
from omezarr_proc.host.store_errors import ConditionError
from omezarr_proc.model.address import Address

obstore = pytest.importorskip("obstore", reason="needs the extra `remote`")
PLACE, OTHER = Address("s3://silent/a/b"), Address("s3://other/a")


@pytest.fixture(autouse=True)
def patient() -> Iterator[Patience]:
    """Patience that these tests have; afterwards nothing is known of the stores."""
    one = Patience(times=2, seconds=0.15)
    with patience.patient_as(one):
        yield one
    patience.has_answered(PLACE.root)


class Store:
    """Counts what it is asked, and answers as it is told."""

    def __init__(self) -> None:
        self.asked = 0
        self.error: Exception | None = None

    def __call__(self) -> str:
        self.asked += 1
        if self.error:
            raise self.error
        return "an answer"


def broken() -> Exception:
    """What the client raises where a connection breaks off in an answer."""
    return obstore.exceptions.GenericError("error decoding response body")


def refused(status: int) -> Exception:
    """What the client raises after its last try."""
    return obstore.exceptions.GenericError(f"Error performing PUT http://host/a in 1s, after 2 retries, status code: {status}")


def test_who_breaks_off_is_asked_again_and_after_that_briefly_until_it_answers(patient: Patience) -> None:
    store = Store()
    store.error = broken()
    for at_least in (2, 3):
        with pytest.raises(OSError, match="breaks off again and again"):
            ask(PLACE, store)
        assert store.asked >= at_least
        assert patience_with(PLACE.root) == BRIEFLY
        assert patience_with(OTHER.root) == patient
    store.error = None
    assert ask(PLACE, store) == "an answer"
    assert patience_with(PLACE.root) == patient


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (lambda: FileNotFoundError("no such key"), FileNotFoundError),
        (lambda: refused(403), PermissionError),
        (lambda: refused(409), OSError),
        (lambda: obstore.exceptions.PreconditionError("it has another e_tag"), ConditionError),
    ],
)
def test_a_refusal_is_an_answer(patient: Patience, error: Callable[[], Exception], raised: type[Exception]) -> None:
    patience.give_up(PLACE.root)
    store = Store()
    store.error = error()
    with pytest.raises(raised):
        ask(PLACE, store)
    assert store.asked == 1
    assert patience_with(PLACE.root) == patient


def test_it_is_forgotten_after_a_minute(monkeypatch: pytest.MonkeyPatch, patient: Patience) -> None:
    now = [1000.0]
    monkeypatch.setattr(patience.time, "monotonic", lambda: now[0])
    patience.give_up(PLACE.root)
    for later, expected in ((59.0, BRIEFLY), (61.0, patient)):
        now[0] = 1000.0 + later
        assert patience_with(PLACE.root) == expected


def test_what_the_client_itself_has_tried_in_vain_is_not_tried_again(patient: Patience) -> None:
    store = Store()
    store.error = refused(500)
    with pytest.raises(OSError, match="HTTP 500: run again later"):
        ask(PLACE, store)
    assert store.asked == 1
    assert patience_with(PLACE.root) == BRIEFLY


def test_the_client_of_a_store_that_was_asked_in_vain_asks_briefly(monkeypatch: pytest.MonkeyPatch, patient: Patience) -> None:
    asked: list[Patience] = []
    monkeypatch.setattr(remote, "client_of", lambda root, patience: asked.append(patience))
    remote.client(PLACE.root)
    patience.give_up(PLACE.root)
    remote.client(PLACE.root)
    remote.client(OTHER.root)
    assert asked == [patient, BRIEFLY, patient]
