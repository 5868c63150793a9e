"""What cannot be encoded is escaped, and can be had back."""

from __future__ import annotations

import io
import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.core.terminal import careful_outputs
from benchmark.core.text import each_text, encodable
from tests.harness import original

SHOWN_ESCAPE = re.compile(r"\\ud[89a-f]", re.ASCII)
"""An escape that the text itself shows: it stays, so ``original`` takes it for a half character, as it says."""


@given(st.text(st.characters(categories=("L", "N", "P", "S", "Cs", "Zs"))) | st.text("\\un0\ud83d\udce9"))
def test_any_text_can_be_encoded_and_had_back(text: str) -> None:
    told = encodable(text)
    assert told.encode().decode() == told
    assert encodable(told) == told
    if text.isprintable():
        assert told == text
    if not SHOWN_ESCAPE.search(text):
        assert ascii(original(told)) == ascii(text)  # a failure's text must reach xdist's main process


def test_names_of_other_encodings_and_cut_emoji() -> None:
    assert encodable(b"caf\xe9.png".decode(errors="surrogateescape")) == "caf\\udce9.png"
    assert encodable("good \ud83d") == "good \\ud83d"
    assert encodable("ü 日本 😀 C:\\new") == "ü 日本 😀 C:\\new"
    assert each_text({"\udce9": ["\udce9", 1, None]}, encodable) == {"\\udce9": ["\\udce9", 1, None]}


def test_printing_what_the_terminal_cannot_show(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    with careful_outputs():
        print("a × b \udce9")
        sys.stdout.flush()
    assert raw.getvalue() == b"a \\xd7 b \\udce9\n"
