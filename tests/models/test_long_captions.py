"""Captions that are longer than the detector reads: nothing is lost unknown."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.core.errors import ConfigError
from benchmark.models.long_captions import MOST_TOKENS, fit, split_caption
from benchmark.models.toy_tokenizer import toy_tokenizer


def pieces(text: str) -> list[str]:
    tokenizer = toy_tokenizer()
    found: list[str] = tokenizer.convert_ids_to_tokens(tokenizer(text)["input_ids"])
    return found


def count(text: str) -> int:
    return len(pieces(text))


def test_captions_that_fit_go_as_they_are_and_short_ones_need_no_tokenizer() -> None:
    def never(_: str) -> list[str]:
        raise AssertionError("not asked")

    fitted = fit([" . a. b, c.", "crack."], never, how="split")
    assert (fitted.captions, fitted.question, fitted.notes) == ((" . a. b, c.", "crack."), (0, 1), ())


LONG = " ".join(["crack"] * 50 + ["last"]) + "."
"""256 tokens and four, with its full stop and the two special ones, where a letter is a token."""


def test_what_the_detector_does_not_read_is_told() -> None:
    assert count(LONG) == 257 and len(pieces(LONG)) == 257
    fitted = fit(["hole.", LONG, "dent."], pieces, how="truncate")
    assert fitted.captions == ("hole.", LONG, "dent.") and fitted.question == (0, 1, 2)
    (note,) = fitted.notes
    assert "256 of the 257 tokens" in note and "left out: ''" in note
    (note,) = fit([LONG.replace("last", "last dent")], pieces, how="truncate").notes
    assert "256 of the 261 tokens" in note and "left out: 'ent .'" in note


def test_parts_know_their_question() -> None:
    fitted = fit(["hole.", LONG.replace(" last", ". last"), "dent."], pieces, how="split")
    assert fitted.question == (0, 1, 1, 2) and fitted.captions[2] == "last." and not fitted.notes


def test_a_long_caption_is_refused_where_that_is_asked() -> None:
    with pytest.raises(ConfigError, match=r"has 257 tokens, GroundingDINO reads 256: shorten it.*long_captions"):
        fit([LONG], pieces, how="refuse")


@pytest.mark.parametrize("text", ["é" * 200 + ".", "한" * 90 + ".", "İ" * 130 + ".", "鋼" * 254 + ".", "½" * 260])
def test_no_text_has_more_tokens_than_bytes(text: str) -> None:
    assert count(text) <= len(text.encode()) + 2


def test_a_short_caption_stays_whole() -> None:
    assert split_caption(" . a. b, c.", count) == (" . a. b, c.",)


def test_a_caption_at_the_limit_stays_whole_and_one_beyond_is_split() -> None:
    caption = " ".join(["a" * 50] * 5 + ["aaa"]) + "."
    assert count(caption) == MOST_TOKENS
    assert split_caption(caption, count) == (caption,)
    longer = f"b. {caption}"
    assert split_caption(longer, count) == ("b.", caption)


def test_a_word_longer_than_the_limit_is_refused_and_named() -> None:
    with pytest.raises(ConfigError, match=r"256 tokens.*aaaa"):
        split_caption("crack. " + "a" * 300 + ".", len)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.lists(st.text("abcdef", min_size=1, max_size=8), min_size=1, max_size=40), min_size=1, max_size=20))
def test_no_part_is_too_long_and_no_word_is_lost(phrases: list[list[str]]) -> None:
    caption = "".join(" ".join(words) + ". " for words in phrases).strip()
    parts = split_caption(caption, count, most=64)
    assert all(count(part) <= 64 for part in parts)
    words = [word for phrase in phrases for word in phrase]
    assert " ".join(parts).replace(".", " ").split() == words
