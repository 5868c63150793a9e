"""IAP-AS with fixed answers: whole maps, sizes and the object."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark.core.errors import ConfigError
from tests.harness import option
from tests.pipelines.iap.fixed import (
    ANSWERS,
    EXACT,
    LEFT,
    OBJECT,
    OFFICIAL,
    P_FINAL,
    RIGHT,
    SMALL,
    WHOLE,
    context,
    pipeline,
    predict,
    summed,
)
from tests.pipelines.saa.fakes import FakeModels

KEPT = ((LEFT, 0.4), (RIGHT, 0.25), (SMALL, 0.2))


def test_the_whole_map_adds_up_what_suppression_and_the_size_rule_leave(models: FakeModels, tmp_path: Path) -> None:
    found = predict(pipeline(), context(tmp_path))
    assert found.regions is not None and found.score_map is None
    np.testing.assert_allclose(found.regions.score_map(), summed(*KEPT), atol=1e-6)
    assert found.regions.score_map().max() == pytest.approx(0.4 + 0.2)
    assert found.extra["object"] == "cup steel" and found.extra["object_area"] == pytest.approx(0.81)
    assert (found.extra["n_candidates"], found.extra["n_regions"], found.extra["assumed"]) == (4, 3, None)
    assert found.extra["caption"] == P_FINAL
    assert found.mask is not None and np.array_equal(found.mask, summed(*KEPT) > 0) and found.label is True


def test_the_released_profile_stretches_every_map(models: FakeModels, tmp_path: Path) -> None:
    found = predict(pipeline("iap_as_paper_code"), context(tmp_path))
    drawn = summed(*KEPT)
    assert found.extra["caption"] == OFFICIAL
    np.testing.assert_allclose(found.score_map, drawn / drawn.max(), atol=1e-6)


@pytest.mark.parametrize("boxes", [[], [(WHOLE, 0.7, "crack.")]], ids=["no box", "one mask over everything"])
def test_constant_maps_become_zero_where_maps_are_stretched(
    boxes: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    FakeModels({**ANSWERS, OFFICIAL: boxes, P_FINAL: boxes}).install(monkeypatch)
    steps = ["tagging", "llm_prompt"]
    stretched = predict(pipeline("iap_as_paper_code", steps=steps), context(tmp_path / "a"))
    assert stretched.score_map is not None and not stretched.score_map.any()
    plain = predict(pipeline(steps=steps), context(tmp_path / "b"))
    assert plain.regions is not None
    np.testing.assert_allclose(plain.regions.score_map(), 0.7 if boxes else 0)


def test_a_box_of_exactly_the_limit_is_no_candidate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answers = {**ANSWERS, "cup steel.": [(WHOLE, 0.7, "cup steel")], P_FINAL: [(EXACT, 0.4, "crack.")]}
    FakeModels(answers).install(monkeypatch)
    where = context(tmp_path)
    assert predict(pipeline(), where).extra["n_regions"] == 0
    assert predict(pipeline(size={"factor": 0.81}), where).extra["n_regions"] == 1


def test_an_object_that_is_not_found_is_the_whole_image(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    FakeModels({**ANSWERS, "cup steel.": []}).install(monkeypatch)
    settings = pipeline()
    found = predict(settings, context(tmp_path))
    assert (found.extra["object_area"], found.extra["object_found"]) == (1.0, 0)
    assert found.extra["n_regions"] == 3, "only the box over everything goes"
    rows = [{"category": "bowl", **found.extra}]
    assert settings.tables(rows)["prompts"][0]["n_without_object"] == 1


def test_size_is_that_of_the_largest_box_if_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answers = {**ANSWERS, "cup steel.": [(SMALL, 0.7, "cup steel"), (RIGHT, 0.2, "cup.")]}
    FakeModels(answers).install(monkeypatch)
    where = context(tmp_path)
    assert predict(pipeline(), where).extra["object_area"] == pytest.approx(0.03)
    assert predict(pipeline(size={"of": "largest_box"}), where).extra["object_area"] == pytest.approx(0.24)


@pytest.mark.parametrize("steps", [["tagging"], ["tagging", "llm_prompt", "size_filter"]])
def test_without_a_good_image_the_category_names_the_object(
    steps: list[str], models: FakeModels, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = predict(pipeline(steps=steps), context(tmp_path, good=0))
    assert found.extra["object"] == "bowl" and "no good image" in str(found.extra["assumed"])
    assert "no good image" in caplog.text


def test_tags_that_find_no_box_are_counted(models: FakeModels, tmp_path: Path) -> None:
    found = predict(pipeline(tags=[["lamp", "pole"], ["lamp", "crack"]]), context(tmp_path))
    assert found.extra["object"] == "lamp" and "found no tag" in str(found.extra["assumed"])


def test_words_for_defects_and_colours_are_no_object(models: FakeModels, tmp_path: Path) -> None:
    found = predict(pipeline(tags=[["crack", "red", "deep scratch"]]), context(tmp_path))
    assert found.extra["object"] == "bowl" and "saw nothing" in str(found.extra["assumed"])


def test_the_object_is_named_by_the_best_box_over_all_good_images(models: FakeModels, tmp_path: Path) -> None:
    tags = [["cup", "steel", "wood"], ["cup", "steel"]]
    assert predict(pipeline(tags=tags), context(tmp_path)).extra["object"] == "cup steel"
    voted = predict(pipeline(tags=tags, object={"choice": "vote", "number": 2}), context(tmp_path))
    assert voted.extra["object"] == "cup, steel"


TAGS = ("Metal", "close-up", "Steel Plate", "number", "hole")
ASKED = "metal. . steel plate. hole."
SPECIAL = [(OBJECT, 0.6, "[CLS] metal. . steel plate. hole [SEP]"), (LEFT, 0.3, "metal.")]


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("plain", "metal steel plate hole"),
        ("released_code", "metal.. steel plate. hole [SEP]"),
        ("released_code_saa", "[CLS] metal.. steel plate. hole [SEP]"),
    ],
)
def test_an_object_may_keep_every_token_above_the_threshold(
    words: str, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    FakeModels({ASKED: SPECIAL}).install(monkeypatch)
    settings = pipeline("iap_as_paper_code", tags=[TAGS], object={"words": words})
    found = predict(settings, context(tmp_path))
    assert found.extra["object"] == name
    assert str(found.extra["caption"]).endswith(f"hole, {name.lower()}.")
    assert settings.prompter.calls == [name]  # type: ignore[attr-defined]


def test_the_released_code_asks_for_a_nameless_object(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    FakeModels({"cup. steel.": [(OBJECT, 0.6, "[CLS]")]}).install(monkeypatch)
    released = predict(pipeline("iap_as_paper_code"), context(tmp_path / "a"))
    assert released.extra["object"] == "" and str(released.extra["caption"]).endswith("hole, .")
    plain = predict(pipeline(), context(tmp_path / "b"))
    assert plain.extra["object"] == "cup" and "found no tag" in str(plain.extra["assumed"])


def test_what_is_cut_off_is_told_in_the_paper_profile(
    models: FakeModels, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    answer = ", ".join(a + b + "x" * 8 for a in "abcde" for b in "fghijk")
    found = predict(pipeline("iap_as_paper_code", answer=answer), context(tmp_path))
    assert " | " not in str(found.extra["caption"])
    assert "reads 256 of the" in str(found.extra["assumed"]) and "steel" in str(found.extra["assumed"])
    assert "left out" in caplog.text
    with pytest.raises(ConfigError, match="long_captions"):
        predict(pipeline(answer=answer, detector={"long_captions": "refuse"}), context(tmp_path / "b"))


def test_the_papers_adjective_clauses_are_asked_whole(tmp_path: Path) -> None:
    found = predict(pipeline("iap_as_paper_text", answer="cracked, that is torn at the rim"), context(tmp_path))
    assert str(found.extra["caption"]).startswith("cracked. that is torn at the rim. abnormal. defect.")


def test_the_presets_hold_the_values_of_their_sources() -> None:
    """The paper's section 5.1.3 and Table 2, whose tags have colours among them; the released command line."""
    text, code = (option("pipeline", f"iap_as_paper_{name}") for name in ("text", "code"))
    limits = {"box": None, "text": None, "object_sets": ["mvtec", "mpdd", "btad"], "objects": 0.2, "textures": 0.1}
    assert text["thresholds"] == {**limits, "iou": 0.5}
    assert text["size"]["factor"] == 0.8 and text["normals"]["seed"] == 111
    assert text["object"]["dropped_words"] == []
    assert code["thresholds"]["objects"] == 0.1
    assert code["detector"]["long_captions"] == text["detector"]["long_captions"] == "truncate"
