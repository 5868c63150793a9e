"""Reading answers: the released code's way, pinned by golden values, and the robust one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.pipelines.iap.captions import prompt_caption_released
from benchmark.pipelines.iap.terms import FIXED, parse_released, parse_robust

# What clean_string of the released code makes of an answer: its parts as a set, and how many stops join them.
GOLDEN = [
    ("scratch, crack, hole", ["abnormal", "crack", "defect", "hole", "scratch"], 4),
    ("Scratch, Crack, Hole.", ["Crack", "Hole", "Scratch", "abnormal", "defect"], 4),
    ("scratch, dent, word, none", ["", "abnormal", "defect", "dent", "scratch"], 4),
    ("broken part, edge of part, stain", ["abnormal", "broken", "defect", "edge", "stain"], 4),
    ("crack, crack, dark spot spot", ["abnormal", "crack", "dark spot", "defect"], 3),
    ("'scratch', 'crack'", ["'crack'", "'scratch'", "abnormal", "defect"], 3),
    (
        "here are the words: scratch, crack",
        ["abnormal", "crack", "defect", "here are the s: scratch"],
        3,
    ),
    ("scratch, keyword, nonetheless", ["abnormal", "defect", "key", "scratch", "theless"], 4),
    ("scratch\ncrack\nhole", ["abnormal", "defect", "scratch crack hole"], 2),
    ("1. scratch, 2. crack", ["1 scratch", "2 crack", "abnormal", "defect"], 3),
    ("", ["abnormal", "defect"], 1),
]
SEED_SCRIPT = """
import json
from benchmark.pipelines.iap.captions import prompt_caption, prompt_caption_released
from benchmark.pipelines.iap.objects import by_vote
from benchmark.pipelines.iap.terms import parse_released, parse_robust
from benchmark.pipelines.iap.prompters.base import Request
from benchmark.pipelines.iap.prompters.static import StaticPrompter
from benchmark.pipelines.iap.taggers.base import ImageTags, Tag

answer = "scratch, crack, hole, dent, stain, dark spot, chip"
words = ["tile", "stone", "floor", "marble", "wall"]
tags = [ImageTags(sample=None, tags=tuple(Tag(w, 0.5) for w in words)) for _ in range(3)]
names = [name.text for name in by_vote(tags, 3)]
table = StaticPrompter(general=("crack",), by_word={w: (w + " a", w + " b") for w in words})
asked = Request(dataset="d", category="stone_tile", object="marble floor", system="", user="")
said = table.answer(None, asked).raw
print(json.dumps([parse_released(answer), prompt_caption_released([answer], names[:1]), names, said,
                  prompt_caption(parse_robust(answer).terms, names)]))
"""


@pytest.mark.parametrize(("answer", "parts", "stops"), GOLDEN, ids=[repr(row[0]) for row in GOLDEN])
def test_the_released_reading_has_the_golden_parts(answer: str, parts: list[str], stops: int) -> None:
    read = parse_released(answer)
    assert sorted(part.strip() for part in read.split(".")) == parts
    assert read.count(".") == stops


def test_no_order_depends_on_the_hash_seed() -> None:
    def under(seed: str) -> list[str]:
        root = Path(__file__).resolve().parents[3]
        variables = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)}
        done = subprocess.run(
            [sys.executable, "-c", SEED_SCRIPT], env=variables, cwd=root, capture_output=True, text=True, check=True
        )
        read: list[str] = json.loads(done.stdout)
        return read

    first, *others = [under(seed) for seed in ("0", "1", "4711")]
    assert others == [first, first]
    assert first[2] == ["floor", "marble", "stone"]
    assert first[3] == "tile a, tile b, stone a, stone b, floor a, floor b, marble a, marble b, crack"


@pytest.mark.parametrize(
    ("answer", "terms"),
    [
        ("scratch, crack, hole", ("scratch", "crack", "hole")),
        ("1. Scratch\n2. Crack\n- dark spot", ("scratch", "crack", "dark spot")),
        ("1. scratch, 2. crack", ("scratch", "crack")),
        ("a) crack\nb) dent", ("crack", "dent")),
        ("Here are the words: 'scratch', \"crack\"", ("scratch", "crack")),
        ("**crack**, `dent`; and a hole", ("crack", "dent", "hole")),
        ("crack, crack, dark spot spot", ("crack", "dark spot")),
        ("fray, tear, none, word, abnormal, defect", ("fray", "tear")),
        ("keyword, nonetheless, cut-out, worker's mark", ("keyword", "nonetheless", "cut-out", "worker's mark")),
        ("fissure. dent. hole", ("fissure", "dent", "hole")),
        ("crack, the object may show many other different kinds of damage, dent", ("crack", "dent")),
        ("crack, x-ray 12, 3 mm, a1b2", ("crack",)),
    ],
)
def test_the_robust_reading_takes_names_of_defects(answer: str, terms: tuple[str, ...]) -> None:
    read = parse_robust(answer)
    assert (read.terms, read.outcome) == (terms, "ok")


def test_an_answer_in_clauses_is_read_whole() -> None:
    answer = "Here are five phrases:\n1. cracked, that is torn at the rim, with a deep scratch, and bent out of shape"
    whole = ("cracked", "that is torn at the rim", "with a deep scratch", "bent out of shape")
    assert parse_robust(answer, clauses=True).terms == whole
    assert parse_robust(answer).terms == ("cracked",)
    talk = "cracked, let me know if you need more, I hope this helps"
    assert parse_robust(talk, clauses=True).terms == ("cracked",)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("", "empty"),
        (" \n\t ", "empty"),
        ("I'm sorry, but I can't help with that.", "refused"),
        ("As an AI, I cannot answer: crack, dent", "refused"),
        ("I am unable to assist with this request.", "refused"),
        ("####, 12, @@ !!", "unusable"),
        ('{"error": 500}', "unusable"),
        ("lorem ipsum dolor sit amet consectetur adipiscing elit", "unusable"),
        ("x" * 5000, "unusable"),
    ],
)
def test_what_is_no_answer_is_told_apart(answer: str, outcome: str) -> None:
    read = parse_robust(answer)
    assert (read.terms, read.outcome) == ((), outcome)


@given(st.text(max_size=200))
def test_any_answer_can_be_read(answer: str) -> None:
    read = parse_robust(answer)
    assert (read.outcome == "ok") == bool(read.terms)
    assert len(set(read.terms)) == len(read.terms) and not set(FIXED) & set(read.terms)
    assert all(len(term.split()) <= 3 and "." not in term and "," not in term for term in read.terms)
    released = parse_released(answer)
    assert "," not in released and all(word in released for word in FIXED)


def test_the_released_caption_puts_the_object_behind_a_comma() -> None:
    caption = prompt_caption_released(["scratch, crack", "hole"], ["metal nut", "tile"])
    assert caption == " . abnormal. crack. defect. scratch, metal nut . abnormal. defect. hole, tile."
