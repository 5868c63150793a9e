"""Composing many lines at once gives what composing each alone gives."""

from __future__ import annotations

import pytest

from benchmark.config import compose as composing
from benchmark.config.compose import compose_each
from benchmark.core.errors import ConfigError
from tests.harness import compose

SHARED = ("run.seed=3", "tracking=none")
LINES = [
    ("pipeline=iap_as_paper_code", "pipeline.steps=[llm_prompt,size_filter]", "pipeline.thresholds.objects=0.2"),
    ("pipeline=patchcore", "backbone@pipeline.backbone=wide_resnet50_2"),
    ("pipeline=gemini", *SHARED),
    ("pipeline=saa_plus", "pipeline.saliency.use=false"),
    ("pipeline=constant", "networks=toy"),
    ("pipeline=constant", "hydra.searchpath=[]"),
]


def _alone(line: tuple[str, ...]) -> object:
    composed, choices = compose(*line)
    return composed["pipeline"], composed["run"], composed["tracking"], choices["pipeline"], choices["tracking"]


def test_lines_together_are_what_each_is_alone() -> None:
    found = compose_each("pipeline", LINES)
    for line, one in zip(LINES, found, strict=True):
        assert not isinstance(one, ConfigError)
        composed, choices = one
        told = composed["pipeline"], composed["run"], composed["tracking"], choices["pipeline"], choices["tracking"]
        assert told == _alone(line), line


def test_a_line_that_is_refused_is_the_error_that_it_is_alone() -> None:
    lines = [("pipeline=constant",), ("pipeline=constant", "pipeline.polcy=x"), ("pipeline=constnt",)]
    good, key, name = compose_each("pipeline", lines)
    assert not isinstance(good, ConfigError) and good[0]["pipeline"]["policy"]
    assert "pipeline.polcy" in str(key) and "policy" in str(key)
    assert "pipeline=constnt: no such option" in str(name)


def test_hydra_is_asked_once_for_many(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, before = [], composing._composed
    monkeypatch.setattr(composing, "_composed", lambda *told: asked.append(told) or before(*told))
    names = ("sat", "mtd", "visa", "mvtec", "ksdd1", "ksdd2", "btad")
    found = compose_each("dataset", [(f"dataset={name}",) for name in names])
    assert len(asked) == 1 and len(found) == 7


def test_an_option_is_composed_once_whatever_is_set_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, before = [], composing._composed
    monkeypatch.setattr(composing, "_composed", lambda *told: asked.append(told) or before(*told))
    lines = [("pipeline=saa_plus", f"pipeline.saliency.exponent={weight}")
             for weight in (0.25, 0.5, 1.0)] + [("pipeline=saa_plus",)]  # fmt: skip
    found = [
        one[0]["pipeline"]["saliency"] for one in compose_each("pipeline", lines) if not isinstance(one, ConfigError)
    ]
    ((words, copies),) = asked
    assert sum("pipeline=" in word or "pipeline@" in word for word in words) == 1 and len(copies) == 3
    assert [one["exponent"] for one in found] == [0.25, 0.5, 1.0, found[3]["exponent"]] and found[3]["exponent"] == 3.0


def test_no_line_and_what_stands_elsewhere() -> None:
    assert compose_each("dataset", []) == []
    (defaults, behind) = compose_each("dataset", [(), ("run.seed=3", "dataset=mtd")])
    assert not isinstance(defaults, ConfigError) and defaults[1]["dataset"] == "sat"
    assert not isinstance(behind, ConfigError) and behind[1]["dataset"] == "mtd" and behind[0]["run"]["seed"] == 3


@pytest.mark.slow
def test_every_cell_of_every_paper_is_composed_as_alone() -> None:
    from benchmark.report.papers.availability import _words
    from benchmark.report.papers.paper import cells, load_paper, paper_names

    every = [cell for name in paper_names() for table in load_paper(name).tables.values()
             for cell in cells(load_paper(name), table) if cell.overrides]  # fmt: skip
    tried = 0
    for at, group in enumerate(("dataset", "pipeline")):
        lines = list(dict.fromkeys(_words(cell, ())[at] for cell in every))
        for line, one in zip(lines, compose_each(group, lines), strict=True):
            assert not isinstance(one, ConfigError) and one[0][group] == compose(*line)[0][group], line
            tried += 1
    assert tried > 40
