"""What a word of the command line shows is what it means, whatever characters are in it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.config.override_words import is_read, readable
from benchmark.core.errors import ConfigError
from tests.harness import compose, typed

READ = ("word", "1", "1.5", "true", "null", "a b", "a/b-c+d.e$f%g*h@i?j|k", "a\\,b")
"""Values that Hydra's grammar has a meaning for already."""


@pytest.mark.parametrize("value", READ)
def test_what_the_grammar_reads_stays_as_it_is(value: str) -> None:
    assert readable([f"dataset.name={value}"]) == [f"dataset.name={value}"]


@pytest.mark.parametrize(
    "value",
    ["~/my_parts", "/data/größe", "/a=b", "/a(b)", "/a[b]", "/a{b}", "/a#b", "/a&b", "/it's", '/a"b', "/a;b", "a!",
     "a^b", "parts(1)", "/a)b", "x]", "/a<b>", "/日本", "/a\\'b", "ends=\\", "{stem}.npy",
     "{category}/{stem}_x.npy", "{a}{b}"],
)  # fmt: skip
def test_a_path_needs_no_quotes(value: str) -> None:
    assert compose(f"run.device={value}")[0]["run"]["device"] == value


@given(st.text(st.characters(exclude_characters=",", exclude_categories=("Cs", "Cc")), min_size=1))
@settings(max_examples=150, deadline=None)
def test_any_text_without_a_comma_is_read(text: str) -> None:
    if text.strip()[:1] in ("[", "{", "'", '"') or "${" in text or not text.strip():
        return
    (word,) = readable([f"dataset.path=/{text}"])
    assert is_read(word)


def test_each_point_of_a_sweep_is_read_by_itself() -> None:
    (word,) = readable(["dataset.path=~/a,/b,'c,d',/ü"])
    assert word == "dataset.path='~/a',/b,'c,d','/ü'"
    assert readable(["pipeline.smoothing=range(0,4)"]) == ["pipeline.smoothing=range(0,4)"]
    assert readable(["pipeline.prompts.default=[a,b],[c]"]) == ["pipeline.prompts.default=[a,b],[c]"]


def test_options_of_hydra_and_deletions_are_left_alone() -> None:
    words = ["-m", "--config-dir", "conf", "~tracking", "--cfg=job"]
    assert readable(words) == words


def test_a_mapping_brings_keys_that_the_option_does_not_have() -> None:
    composed = compose("pipeline=clipseg", "pipeline.prompts.by_category={part:[cut,a dent]}")[0]
    assert composed["pipeline"]["prompts"]["by_category"] == {"part": ["cut", "a dent"]}
    nested = compose("pipeline=clipseg", "pipeline.prompts={by_category:{part:[cut]}}")[0]["pipeline"]["prompts"]
    assert nested["by_category"] == {"part": ["cut"]} and nested["default"]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("pipeline.prompts={by_categry:{part:[cut]}}", ["pipeline.prompts.by_categry", "by_category"]),
        ("pipeline.promts={by_category:{part:[cut]}}", ["pipeline.promts", "prompts"]),
        ("pipeline.prompts.default=[größer]", ["pipeline.prompts.default=[größer]", "in quotes", "'"]),
        ("dataset.path=[a]b", ["dataset.path=[a]b", "in quotes"]),
        ("dataset.path=/a,b", ["-m", "in quotes"]),
        ("dataset.path=${HOME}/x", ["${HOME}", "$HOME"]),
        ("dataset.categories=[01,2]", ["dataset.categories.1", "quotes"]),
        ("dataset.name=2024", ["dataset.name", "quotes"]),
        ("dataset.path=2024_01", ["dataset.path", "quotes"]),
        ("dataset.categories=[no,yes,true]", ["dataset.categories.2", "quotes"]),
    ],
)
def test_what_still_cannot_be_read_is_told_with_the_fix(word: str, said: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        typed("pipeline=clipseg", "dataset=folder", word)
    message = str(caught.value)
    assert all(part in message for part in said), message
    assert "hydra.cc" not in message and "Lexer" not in message
