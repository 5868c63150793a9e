"""Captions: how they are written."""

from __future__ import annotations

from benchmark.pipelines.iap.captions import prompt_caption, tag_caption, tag_caption_released


def test_p_final_has_defects_fixed_words_and_object_once_each() -> None:
    assert prompt_caption(["crack", "hole", "crack"], ["tile"]) == "crack. hole. abnormal. defect. tile."
    assert prompt_caption([], []) == "abnormal. defect."


def test_tags_become_a_caption() -> None:
    assert tag_caption(["metal", "nut", "metal"]) == "metal. nut."
    assert tag_caption_released(["close-up", "metal", "number", "nut"]) == ". metal. nut"
