"""Secrets show nowhere; masks leave no token in a text."""

import copy
import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omezarr_proc.secret import Mask, Secret

TOKEN = "eyJhbGciOi.very-secret"


def test_a_secret_shows_in_no_text():
    secret = Secret(TOKEN)
    assert (str(secret), repr(secret), f"{secret:>5}", "%s" % secret) == ("***", "Secret('***')", "  ***", "***")  # noqa: UP031
    assert (str(Secret()), bool(Secret()), bool(secret)) == ("", False, True)


def test_a_secret_leaves_the_process_masked():
    assert TOKEN.encode() not in pickle.dumps(Secret(TOKEN))
    assert pickle.loads(pickle.dumps(Secret(TOKEN))).reveal() == "***"


def test_secrets_compare_by_value():
    assert Secret(TOKEN) == Secret(TOKEN)
    assert len({Secret(TOKEN), Secret(TOKEN), Secret("other")}) == 2


def test_json_refuses_a_secret_and_copies_keep_it():
    secret = Secret(TOKEN)
    with pytest.raises(TypeError):
        json.dumps(secret)
    assert copy.deepcopy(secret).reveal() == copy.copy(secret).reveal() == TOKEN


@given(st.text(min_size=4, alphabet=st.characters(categories=["L", "N", "P"])), st.text(), st.text())
def test_mask_leaves_no_token_and_changes_nothing_else(token: str, before: str, after: str):
    mask = Mask([token, ""])
    if token not in "***":
        assert token not in mask(f"{before}{token}{after}".replace("*", "")).replace("***", "\0")
    assert Mask([])(before) == before
