"""Captions: how they are written, and that nothing is lost where they are too long."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.core.errors import ConfigError
from benchmark.models.toy_tokenizer import toy_tokenizer
from benchmark.pipelines.iap.captions import (
    MOST_TOKENS,
    prompt_caption,
    split_caption,
    tag_caption,
    tag_caption_released,
)


def count(text: str) -> int:
    return len(toy_tokenizer()(text)["input_ids"])


def test_p_final_has_defects_fixed_words_and_object_once_each() -> None:
    assert prompt_caption(["crack", "hole", "crack"], ["tile"]) == "crack. hole. abnormal. defect. tile."
    assert prompt_caption([], []) == "abnormal. defect."


def test_tags_become_a_caption() -> None:
    assert tag_caption(["metal", "nut", "metal"]) == "metal. nut."
    assert tag_caption_released(["close-up", "metal", "number", "nut"]) == ". metal. nut"


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
