"""Charts say what they were given, in every renderer: the one of the browser and the one without."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmark.report.charts import MOST_POINTS, as_svg, cost_over_threshold, precision_recall, reliability
from benchmark.report.page_charts import category_bars, confusion, sweep_charts
from benchmark.results.replicates import Curve
from benchmark.scoring.decision import Costs, calibration, decide
from benchmark.scoring.metric_record import MetricRecord


def curve(*points: tuple[float, float]) -> Curve:
    recall, precision = (np.array(v) for v in zip(*points, strict=True))
    return Curve(threshold=np.linspace(1, 0, len(points)), precision=precision, recall=recall)


def test_a_curve_begins_at_recall_0_and_lines_of_one_colour_differ_by_dashes() -> None:
    spec = precision_recall({f"run {i}": curve((0.5, 1.0), (1.0, 0.25)) for i in range(20)})
    first = [v for v in spec["data"]["values"] if v["run"] == "run 0"]
    assert [(v["recall"], v["precision"]) for v in first] == [(0.0, 1.0), (0.5, 1.0), (1.0, 0.25)]
    encoding = spec["encoding"]
    looks = list(
        zip(encoding["color"]["scale"]["range"], map(str, encoding["strokeDash"]["scale"]["range"]), strict=True)
    )
    assert len(set(looks)) == len(looks) == 12


def test_a_long_cost_curve_is_thinned_but_for_its_lowest_point() -> None:
    thresholds = np.concatenate(([np.inf], np.linspace(1, 0, 5000)))
    costs = np.full(5001, 2.0)
    costs[1234] = 0.5
    values = cost_over_threshold(thresholds, costs, chosen=None)["data"]["values"]
    assert len(values) <= MOST_POINTS + 1
    assert min(v["cost of an image"] for v in values) == 0.5


@pytest.mark.parametrize("chosen", [0.3, np.inf, None])
def test_drawn_without_a_browser(chosen: float | None) -> None:
    thresholds = np.array([np.inf, 0.9, 0.3, 0.1])
    svg = as_svg(cost_over_threshold(thresholds, np.array([1.0, 0.5, 0.2, 0.6]), chosen=chosen)).decode()
    assert svg.startswith("<svg") and "cost of an image" in svg
    assert ('stroke-dasharray="5,3"' in svg) == (chosen == 0.3)


def test_probabilities_are_drawn_with_the_line_they_should_follow() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(200)
    found = calibration(scores, rng.random(200) < scores)
    assert found is not None
    ideal, measured = (layer["data"]["values"] for layer in reliability(found)["layer"])
    assert [tuple(v.values()) for v in ideal] == [(0, 0), (1, 1)]
    assert len(measured) == len(found.score)


def test_categories_confusion_and_sweeps_say_their_numbers() -> None:
    row = MetricRecord(
        metric="ap", level="pixel", category="</script>nut", value=0.25, reason=None, n=4, n_defective=2, n_skipped=0,
        low=0.125, high=0.5, threshold=None,
    )  # fmt: skip
    assert ">0.250<" in as_svg(category_bars([row])).decode()
    found = decide("at 0.5", np.array([True, True, False]), np.array([True, False, False]), Costs())
    cells = {(v["truth"], v["called"]): (v["images"], v["right"]) for v in confusion([found])["data"]["values"]}
    assert cells["good", "defective"] == (1, False) and cells["defective", "defective"] == (1, True)
    assert "at 0.5" in as_svg(confusion([found])).decode()
    points = pd.DataFrame({"a.t": [1, 2, 1, 2], "a.s": [0.5, 0.5, 1.0, 1.0], "ap": [0.1, 0.2, 0.3, np.nan]})
    drawn = sweep_charts(points.assign(ap_low=np.nan, ap_high=np.nan), ["a.t", "a.s"], "ap")
    assert [name for name, _ in drawn] == ["ap over t", "ap over s", "ap over t and s"]
    assert all(json.dumps(spec, allow_nan=False) for _, spec in drawn) and ">0.300<" in as_svg(drawn[2][1]).decode()


def numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        return [n for v in value.values() for n in numbers(v)]
    if isinstance(value, list):
        return [n for v in value for n in numbers(v)]
    return [value] if isinstance(value, float) else []


def test_a_specification_is_plain_json() -> None:
    spec = precision_recall({"</script>": curve((0.1, 1.0), (1.0, 1 / 3))})
    assert json.loads(json.dumps(spec, allow_nan=False)) == spec
    assert all(isinstance(n, float) and np.isfinite(n) for n in numbers(spec))
