"""Keys and passwords are hidden in every text, whatever else is in it, and nothing else is broken by that."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.core import secrets
from benchmark.core.errors import ConfigError
from benchmark.core.secrets import redact, redact_outputs, redact_values, without_keys

SECRET = "S3cr3t-x"
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
FORMS = [
    "https://user:{}@host/x",
    "https://{}@host/x",
    "postgresql+psycopg2://db.example/mlflow?user=me&password={}",
    "batch key={}",
    "api_key={}",
    "x-api-key={}",
    "https://h/c?sv=1&sig={}",
    "token={};",
    "client_secret={}",
    "MLFLOW_PASSWORD={}",
    "passwd='{}'",
    'pwd="{}"',
    '{{"password": "{}"}}',
    "Authorization: Bearer {}",
    "authorization: Basic {}",
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("secret", [SECRET, "p@ss/w:rd@x", "a/b?c", 'quo\\te"x'])
def test_a_credential_is_hidden_by_its_form(form: str, secret: str) -> None:
    if form == FORMS[1] and secret != SECRET:
        pytest.skip("a name without a password cannot have these characters in an address")
    if '"' in secret and form != FORMS[3]:
        secret = secret.replace('"', "")
    told = redact(form.format(secret))
    assert secret not in told and "***" in told
    assert all(part not in told for part in ("S3cr3t", "p@ss", "rd@x") if part in secret)
    assert redact(told) == told


@pytest.mark.parametrize(
    "text",
    ["pipeline.max_output_tokens=16", "https://host:8080/a/b", "a@b.example", "sigma=2", "keys and tokens", "s3://b/x",
     "pipeline.provider.access.key_env=NAME", "the key is to look", "assign=3"],
)  # fmt: skip
def test_what_is_no_credential_stays(text: str) -> None:
    assert redact(text) == text


@given(JSON, st.sampled_from(FORMS), TEXTS, TEXTS)
@settings(max_examples=200, deadline=None)
def test_any_values_stay_valid_json_without_the_secret(value: Any, form: str, before: str, after: str) -> None:
    text = f"{before} {form.format(SECRET)} {after}"
    told = redact_values({"value": value, text: [text, {"deep": (text,)}], "text": text})
    written = json.dumps(told)
    assert json.loads(written) == json.loads(json.dumps(told))
    assert SECRET not in written


@given(TEXTS, TEXTS)
@settings(deadline=None)
def test_a_known_key_is_hidden_wherever_it_stands(before: str, after: str) -> None:
    secrets.know("k-0123456789")
    text = f"{before}k-0123456789{after}"
    assert "k-0123456789" not in without_keys(text)
    assert "k-0123456789" not in redact(text)


def test_errors_and_logs_hide_them(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    assert SECRET not in str(ConfigError(f"no answer from https://u:{SECRET}@h"))
    before, hook = logging.getLogRecordFactory(), sys.excepthook
    try:
        redact_outputs()
        logging.getLogger("urllib3").warning("retrying %s", f"https://u:{SECRET}@h/x")
    finally:
        shown = capsys.readouterr
        sys.excepthook(ValueError, ValueError(f"no https://u:{SECRET}@h"), None)
        logging.setLogRecordFactory(before)
        sys.excepthook = hook
    assert shown().err.endswith("ValueError: no https://***@h\n")
    assert "retrying https://***@h/x" in caplog.text and SECRET not in caplog.text
