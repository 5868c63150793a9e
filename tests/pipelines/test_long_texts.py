"""Texts that are longer than CLIP reads: cut as the released codes cut them, or refused; nothing is lost unknown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark.core.errors import ConfigError
from benchmark.models.clip import token_ids
from tests.harness import SMALL_SAT, run
from tests.tiny_models import one_thread, tiny  # noqa: F401

LONG = "scratched part " * 40
CAO = "winclip_caoyunkang"
CUT = {"winclip": (), "sdp": ("pipeline.text=mean",), CAO: ("pipeline.clip.precision=fp32",)}
"""Pipelines whose released code cuts long texts."""
STOPS = ("sam_clip", "sam_clip_text2seg", "clip_surgery_sam", "clip_surgery_sam_text2seg", "clipseg")
"""Those whose released code ends in an error."""
slow = pytest.mark.slow


def test_the_last_token_read_is_the_end_token() -> None:
    with pytest.raises(ConfigError, match=r"has 82 tokens, the network reads 77: shorten it, or set long_texts="):
        token_ids(["part " * 80], most=77)
    ids = token_ids(["part " * 80, "part"], most=77, long_texts="truncate").numpy()
    start, word, end = 49406, int(ids[1, 1]), 49407
    np.testing.assert_array_equal(ids[0], [start, *[word] * 75, end])  # CLIP-AD:open_clip/tokenizer.py, tokenize


def notes(finished: Any) -> list[str]:
    return [note for note in finished.result.dataset.notes if "left out" in note]


def asked(name: str, *words: str) -> tuple[str, ...]:
    return (*SMALL_SAT, "run.limit=2", f"pipeline={name}", *tiny(name), *words)


@pytest.mark.parametrize(
    ("name", "shots"),
    [("winclip", 0), *(pytest.param(n, s, marks=slow) for n, s in (("winclip", 1), ("sdp", 0), (CAO, 0)))],
)
def test_category_names_are_cut_as_released(name: str, shots: int, tmp_path: Path) -> None:
    shot = (f"pipeline.shots={shots}",) if shots else ()
    words = asked(name, *CUT[name], *shot, f"+pipeline.states.names.package='{LONG}'")
    for _ in range(2):  # read from the store the second time
        finished = run(tmp_path, *words)
        assert finished.result.outcomes["ok"] == 2
        (normal, abnormal) = notes(finished)
        assert normal.startswith("the network reads 77 of the ") and "and so of" in normal and normal != abnormal
    with pytest.raises(ConfigError, match="set long_texts=truncate"):
        run(tmp_path, *words, "pipeline.clip.long_texts=refuse")


@slow
@pytest.mark.parametrize("name", STOPS)
def test_texts_are_refused_where_the_released_code_stops(name: str, tmp_path: Path) -> None:
    setting = "pipeline.long_texts" if name == "clipseg" else "pipeline.clip.long_texts"
    words = asked(name, f"pipeline.prompts.default=['{LONG}']")
    with pytest.raises(ConfigError, match="shorten it, or set long_texts=truncate"):
        run(tmp_path, *words)
    for _ in range(2):
        finished = run(tmp_path, *words, f"{setting}=truncate")
        assert finished.result.outcomes["ok"] == 2 and len(notes(finished)) == 1
    with pytest.raises(ConfigError, match="set long_texts=truncate"):
        run(tmp_path, *words)


@slow
def test_words_of_a_vocabulary_are_refused_or_told(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text(f"steel\n{LONG}\n", encoding="utf-8")
    tagger = ("tagger@pipeline.tagger=clip_vocab", f"pipeline.tagger.vocabulary={tmp_path / 'words.txt'}")
    toy = ("pipeline.tagger.clip.model=toy", "pipeline.tagger.clip.weights=random", "pipeline.tagger.number=1")
    words = asked("iap_as", *tagger, *toy, "prompter@pipeline.prompter=static")
    with pytest.raises(ConfigError, match="set long_texts=truncate"):
        run(tmp_path, *words)
    assert len(notes(run(tmp_path, *words, "pipeline.tagger.clip.long_texts=truncate"))) == 1
