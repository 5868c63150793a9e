"""Symbolic rules on hand-made regions."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from benchmark.pipelines.saa.rules import Facts, Measure, Rule, kept, measure

OBJECT = np.zeros((10, 20), dtype=bool)
OBJECT[:, :10] = True
IMAGE = np.zeros((10, 20, 3), dtype=np.uint8)
IMAGE[:, :10] = (100, 50, 20)
IMAGE[0:2, 0:8] = (200, 50, 20)


def region(y0: int, x0: int, y1: int, x1: int) -> np.ndarray:
    mask = np.zeros((10, 20), dtype=bool)
    mask[y0:y1, x0:x1] = True
    return mask


REGIONS = np.stack([region(0, 0, 2, 8), region(5, 8, 7, 12), region(0, 0, 0, 0)])


def facts() -> tuple[Facts, Facts]:
    return measure(REGIONS, OBJECT, IMAGE), measure(OBJECT[None], OBJECT, IMAGE)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("area", [0.16, 0.08]),
        ("aspect_ratio", [4.0, 2.0]),
        ("x", [0.4, 1.0]),
        ("y", [0.1, 0.6]),
        ("inside_object", [1.0, 0.5]),
        ("red", [84.0, -66.0]),
        ("green", [0.0, -25.0]),
        ("blue", [0.0, -10.0]),
        ("grey", [84 * 0.299, -66 * 0.299 - 25 * 0.587 - 10 * 0.114]),
        ("colour_distance", [84.0, np.sqrt(66**2 + 25**2 + 10**2)]),
    ],
)
def test_every_measure_by_hand(name: Measure, values: list[float]) -> None:
    for number, value in enumerate(values):
        exact = Rule(measure=name, min=value - 1e-9, max=value + 1e-9)
        expected = [number == 0, number == 1, False]
        assert kept([exact], *facts()).tolist() == expected, value


def test_all_rules_must_hold_and_no_rule_keeps_all() -> None:
    assert kept([], *facts()).tolist() == [True, True, True]
    both = [Rule(measure="area", min=0.05), Rule(measure="aspect_ratio", max=3)]
    assert kept(both, *facts()).tolist() == [False, True, False]


def test_without_an_image_no_colour_rule_holds() -> None:
    regions, whole = measure(REGIONS, OBJECT, None), measure(OBJECT[None], OBJECT, None)
    assert not kept([Rule(measure="grey", min=-255, max=255)], regions, whole).any()
    assert kept([Rule(measure="area", max=1)], regions, whole).tolist() == [True, True, False]


def test_a_rule_needs_a_range_in_order() -> None:
    with pytest.raises(ValidationError, match="min, max or both"):
        Rule(measure="area")
    with pytest.raises(ValidationError, match="above max"):
        Rule(measure="area", min=2, max=1)
