"""Secrets show nowhere; masks leave no token in a text."""

import copy
import json
import pickle
import re
import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import EAGER_COMMAND, FLAGS, Program, stack

from omezarr_proc.config.secret import VARIABLES, Mask, Secret
from omezarr_proc.config.settings import table
from omezarr_proc.model.errors import SettingsError

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


@given(st.text(min_size=8, alphabet=st.characters(categories=["L", "N", "P"])), st.text(), st.text())
def test_mask_leaves_no_token_and_changes_nothing_else(token: str, before: str, after: str):
    mask = Mask([token, ""])
    if token not in "***":
        assert token not in mask(f"{before}{token}{after}".replace("*", "")).replace("***", "\0")
    assert Mask([])(before) == before


@pytest.mark.parametrize("token", ["a", "1", ".", "abc"])
def test_what_is_too_short_to_be_a_secret_is_not_masked(token: str):
    assert Mask([token])("a.tif: 1 abc") == "a.tif: 1 abc"


def test_a_short_token_is_masked_as_a_whole_word():
    mask = Mask(["s3cret", "file"])
    assert mask("file: in /s3cret/profile.tif, 's3cret' and s3cret2") == "***: in /***/profile.tif, '***' and s3cret2"


def test_the_longest_token_at_a_place_is_masked():
    assert Mask(["12345678", "12345678-9"])("12345678-9 12345678-8") == "*** ***-8"


def test_the_variables_are_those_of_the_settings():
    assert tuple(entry.variable for entry in table() if entry.secret) == VARIABLES


def test_an_error_leaves_without_tokens_and_without_its_cause():
    with pytest.raises(SettingsError) as caught, Mask([TOKEN]).errors():
        try:
            raise FileNotFoundError(TOKEN)
        except FileNotFoundError as error:
            raise SettingsError(f"/data/{TOKEN} does not exist") from error
    assert str(caught.value) == "/data/*** does not exist"
    assert TOKEN not in "".join(traceback.format_exception(caught.value, limit=0))


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_no_process_of_a_run_shows_a_token_or_leaves_a_core(tmp_path: Path):
    """Neither the environment of the main process, the nursery and the workers, nor a dump of their memory."""
    source = stack(tmp_path / "stack.ome.tif", planes=60)
    environ = {"SESSION_TOKEN": TOKEN, "REFRESH_TOKEN": f"{TOKEN}-2", "OPENBLAS_NUM_THREADS": "1"}  # so that the nursery is forked
    with Program([source, "--output-dir", tmp_path / "out", "--max-workers", "2", *FLAGS], EAGER_COMMAND, environ) as program:
        assert program.wait_for(lambda: len(program.workers()) == 2)
        pids = [program.process.pid, program.nursery(), *program.workers()]
        shown = [(Path(f"/proc/{pid}/environ").read_bytes(), Path(f"/proc/{pid}/limits").read_text()) for pid in pids]
        status, text = program.finish()
    assert (status, text) == (0, "")
    for environment, limits in shown:
        assert TOKEN.encode() not in environment
        assert re.search(r"Max core file size +1 +1 ", limits)
